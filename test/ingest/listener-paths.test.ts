import { METHODS } from 'node:http'
import t from 'tap'
import { SAMPLE, TrialListener } from './trial-listener.ts'

t.test('a query string changes nothing', async (t) => {
  const trial = await TrialListener.start(t)
  for (const query of ['?', '?a=1', '?a=1&b=%2', '?a=/nowhere', '?%']) {
    t.equal((await trial.genuine(SAMPLE, { path: `/webhooks/ultravox${query}` })).status, 204, query)
  }
})

t.test('a request may name the origin too, whatever it is', async (t) => {
  const trial = await TrialListener.start(t)
  for (const origin of ['http://relay.test', 'HTTP://other.test:8080', 'https://user@[::1]:1']) {
    t.equal((await trial.genuine(SAMPLE, { path: `${origin}/webhooks/ultravox?a=1` })).status, 204, origin)
  }
  t.same([...new Set(trial.answered.map(({ path }) => path))], ['/webhooks/ultravox?a=1'])
})

const ELSEWHERE = [
  '/',
  '/webhooks',
  '/webhooks/ultravox/',
  '/webhooks/ultravox/more',
  '//webhooks/ultravox',
  '/webhooks//ultravox',
  '/Webhooks/Ultravox',
  '/webhooks/ultr%61vox',
  '/webhooks%2Fultravox',
  '/webhooks/ultravox%3Fa=1',
  '/webhooks/ultravox;a=1',
  '/webhooks/ultravox#a',
  '/x/../webhooks/ultravox',
  '/x/%2e%2e/webhooks/ultravox',
  '/webhooks/ultravox%00',
  '/webhooks/%zz',
  '/%',
  '/%E0%A4%A',
  '/healthz/',
  '/__proto__',
  '/constructor',
  `/${'x'.repeat(8_000)}`,
  '*',
  'http://relay.test',
  'http://relay.test/',
  'http://relay.test?/webhooks/ultravox',
  'http://relay.test//webhooks/ultravox',
  'ftp://relay.test/webhooks/ultravox',
]

t.test('any other path is answered 404, and nothing is recorded', async (t) => {
  const trial = await TrialListener.start(t)
  for (const path of ELSEWHERE) {
    for (const method of ['POST', 'GET']) {
      const answer = await trial.genuine(SAMPLE, { path, method })
      const what = `${method} ${path.slice(0, 50)}`
      t.equal(answer.status, 404, what)
      t.same(JSON.parse(answer.body), { error: 'not_found', message: 'nothing listens on this path' }, what)
    }
  }
  t.equal(trial.outbox.calls, 0)
  t.same(trial.failures, [])
})

t.test('bytes that no path may hold are never answered with a 2xx or 3xx', async (t) => {
  const trial = await TrialListener.start(t)
  for (const path of ['/webhooks/ultravöx', 'webhooks/ultravox', '/webhooks/ultra vox', '/webhooks/ultravox\t']) {
    t.equal((await trial.genuine(SAMPLE, { path })).status, 400, path)
  }
  t.equal(trial.outbox.calls, 0)
})

// Node takes CONNECT for a tunnel and closes the connection.
const OTHER_METHODS = METHODS.filter((method) => method !== 'POST' && method !== 'CONNECT')

t.test('any other method on a source is answered 405 with Allow, and its body is not recorded', async (t) => {
  const trial = await TrialListener.start(t)
  for (const method of OTHER_METHODS) {
    const answer = await trial.genuine(SAMPLE, { method })
    t.match(answer, { status: 405, headers: { allow: 'POST' } }, method)
    if (method !== 'HEAD') t.equal(JSON.parse(answer.body).error, 'method_not_allowed', method)
  }
  t.same(trial.outbox.recorded, [])
  t.equal(trial.outbox.rejections.length, OTHER_METHODS.length)
  for (const rejection of trial.outbox.rejections) {
    t.match(rejection, { reason: 'method_not_allowed', bytes: SAMPLE.length, kept: null })
  }
  t.ok(OTHER_METHODS.length > 25)
})

t.test('CONNECT and methods unknown to HTTP are never answered with a 2xx or 3xx', async (t) => {
  const trial = await TrialListener.start(t)
  await t.rejects(trial.genuine(SAMPLE, { method: 'CONNECT' }), /closed without an answer/)
  t.equal((await trial.genuine(SAMPLE, { method: 'FETCH' })).status, 400)
  t.equal((await trial.genuine(SAMPLE, { method: 'post' })).status, 400)
  t.equal(trial.outbox.calls, 0)
})

t.test('the health path answers GET and HEAD with 200 and all else with 405', async (t) => {
  const trial = await TrialListener.start(t)
  const get = await trial.send({ method: 'GET', path: '/healthz?verbose' })
  t.equal(get.status, 200)
  t.same(JSON.parse(get.body), { status: 'ok' })
  t.match(await trial.send({ method: 'HEAD', path: '/healthz' }), { status: 200, body: '' })
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'PROPFIND']) {
    const answer = await trial.send({ method, path: '/healthz', body: SAMPLE })
    t.match(answer, { status: 405, headers: { allow: 'GET, HEAD' } }, method)
  }
  t.equal(trial.outbox.calls, 0)
})

t.test('no path and no method is ever answered with a 3xx', async (t) => {
  const trial = await TrialListener.start(t, { rateLimit: { maxRefused: 100, perMs: 60_000 } })
  for (const path of ['/webhooks/ultravox', '/healthz', ...ELSEWHERE]) {
    for (const method of ['POST', 'GET', 'HEAD', 'OPTIONS', 'PUT']) await trial.send({ method, path, body: '{}' })
  }
  const statuses = [...new Set(trial.answered.map(({ status }) => status))]
  t.same(
    statuses.filter((status) => status >= 300 && status < 400),
    [],
  )
  t.ok(statuses.includes(429), 'the limit was reached on the way')
})

t.test('requests to upgrade the protocol, or to be told to go on, are taken as what they are', async (t) => {
  const trial = await TrialListener.start(t)
  const upgrade = { Connection: 'Upgrade', Upgrade: 'websocket' }
  t.equal((await trial.genuine(SAMPLE, { headers: upgrade })).status, 204)
  t.equal((await trial.genuine(SAMPLE, { headers: { Expect: '100-continue' } })).status, 204)
})
