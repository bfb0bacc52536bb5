import t from 'tap'
import { RelayError } from '../../src/domain/errors.ts'
import { eventually } from '../eventually.ts'
import { headOf } from './raw-http.ts'
import { OPEN_PATH, OTHER_PATH, SAMPLE, TrialListener } from './trial-listener.ts'

const HOUR_MS = 3_600_000
const limited = { rateLimit: { maxRefused: 3, perMs: 60_000 } }

/** A genuine body of its own call. */
const bodyOf = (callId: number | string) => `{"event":"call.ended","call":{"callId":"${callId}"}}`

async function refuse(trial: TrialListener, times: number, from = '127.0.0.1'): Promise<number[]> {
  const statuses: number[] = []
  for (let i = 0; i < times; i += 1) statuses.push((await trial.unsigned({ from })).status)
  return statuses
}

t.test(
  'as many refused requests as allowed are answered as what they are, and the next 429 with Retry-After',
  async (t) => {
    const trial = await TrialListener.start(t, limited)
    t.same(await refuse(trial, 5), [401, 401, 401, 429, 429])
    const answer = await trial.unsigned()
    t.equal(JSON.parse(answer.body).error, 'rate_limited')
    const seconds = Number(answer.headers['retry-after'])
    t.ok(Number.isInteger(seconds) && seconds >= 1 && seconds <= 60, `Retry-After ${seconds}`)
    t.equal(trial.outbox.rejections.length, 3, 'no further rows')
  },
)

t.test('over the limit the answer comes before the body, and the connection is closed', async (t) => {
  const trial = await TrialListener.start(t, limited)
  await refuse(trial, 3)
  const connection = await trial.connect()
  connection.write(headOf({ headers: { ...trial.signed(SAMPLE), 'Content-Length': String(SAMPLE.length) } }))
  const answer = await connection.answer()
  t.match(answer, { status: 429, headers: { connection: 'close' } })
  await connection.closed
  t.equal(trial.outbox.calls, 3)
})

t.test('another address is not affected', async (t) => {
  const trial = await TrialListener.start(t, limited)
  await refuse(trial, 4)
  t.same(await refuse(trial, 4, '127.0.0.2'), [401, 401, 401, 429])
  t.equal((await trial.genuine(SAMPLE, { from: '127.0.0.3' })).status, 204)
  t.same([...new Set(trial.outbox.rejections.map(({ peer }) => peer))], ['127.0.0.1', '127.0.0.2'])
})

t.test(
  'refusals of every unsigned kind count: wrong path, wrong method, too large, no signature, a wrong one',
  async (t) => {
    const trial = await TrialListener.start(t, { rateLimit: { maxRefused: 5, perMs: 60_000 }, bodyLimitBytes: 500 })
    const statuses = [
      await trial.send({ path: '/nowhere', body: SAMPLE }),
      await trial.send({ method: 'PUT', body: SAMPLE }),
      await trial.send({ body: 'x'.repeat(501) }),
      await trial.unsigned(),
      await trial.send({ body: `${SAMPLE} `, headers: trial.signed(SAMPLE) }),
      await trial.genuine(bodyOf('late')),
    ].map(({ status }) => status)
    t.same(statuses, [404, 405, 413, 401, 401, 429])
  },
)

t.test('signed requests are all kept however many are refused, and none makes its address trusted', async (t) => {
  const trial = await TrialListener.start(t, limited)
  for (let i = 0; i < 10; i += 1) {
    const body = bodyOf(`stale-${i}`)
    t.equal((await trial.send({ body, headers: trial.signed(body, HOUR_MS) })).status, 401)
  }
  t.equal(trial.outbox.rejections.filter(({ kept }) => kept !== null).length, 10)
  await refuse(trial, 4)
  t.equal((await trial.genuine(bodyOf('in time'))).status, 429)
})

t.test('events of a source without verification, and of another source, do not make an address trusted', async (t) => {
  const trial = await TrialListener.start(t, limited)
  t.equal((await trial.unsigned({ path: OPEN_PATH })).status, 204)
  t.equal((await trial.genuine(bodyOf('other'), { path: OTHER_PATH })).status, 204)
  await refuse(trial, 4)
  t.equal((await trial.genuine(bodyOf('in time'))).status, 429)
  t.equal((await trial.genuine(bodyOf('again'), { path: OTHER_PATH })).status, 204)
  t.equal((await trial.unsigned({ path: OPEN_PATH })).status, 429)
})

t.test('a reload keeps what was counted, under the new limits', async (t) => {
  const trial = await TrialListener.start(t, limited)
  t.same(await refuse(trial, 4), [401, 401, 401, 429])
  await trial.configure(limited)
  t.same(await refuse(trial, 1), [429])
  await trial.configure({ rateLimit: { maxRefused: 6, perMs: 60_000 } })
  t.same(await refuse(trial, 4), [401, 401, 401, 429])
})

t.test('what is taken, and our own trouble, does not count', async (t) => {
  const trial = await TrialListener.start(t, limited)
  trial.failWith(new RelayError('outbox_unavailable', 'full'))
  for (let i = 0; i < 5; i += 1) t.equal((await trial.genuine(bodyOf(i))).status, 503)
  trial.failWith(null)
  for (let i = 0; i < 10; i += 1) t.equal((await trial.genuine(bodyOf(i % 3))).status, 204)
  t.same(await refuse(trial, 4), [401, 401, 401, 429])
})

t.test('the health path is never limited', async (t) => {
  const trial = await TrialListener.start(t, limited)
  await refuse(trial, 4)
  for (let i = 0; i < 5; i += 1) t.equal((await trial.send({ method: 'GET', path: '/healthz' })).status, 200)
})

t.test(
  'an address with a genuine event lately is verified first: its genuine ones are taken, its bad ones limited',
  async (t) => {
    const trial = await TrialListener.start(t, limited)
    t.equal((await trial.genuine(bodyOf('first'))).status, 204)
    t.same(await refuse(trial, 5), [401, 401, 401, 429, 429])
    for (let i = 0; i < 20; i += 1) {
      t.equal((await trial.genuine(bodyOf(i))).status, 204)
      t.same(await refuse(trial, 1), [429])
    }
    t.match(await trial.unsigned({ path: '/nowhere' }), { status: 429, headers: { 'retry-after': /^\d+$/ } })
    t.equal(trial.outbox.recorded.length, 21)
    t.equal(trial.outbox.rejections.length, 3, 'no further rows')
  },
)

t.test('a signed request that is refused is kept and told why, also over the limit', async (t) => {
  const trial = await TrialListener.start(t, limited)
  await trial.genuine()
  await refuse(trial, 4)
  for (let i = 0; i < 3; i += 1) {
    const answer = await trial.send({ body: SAMPLE, headers: trial.signed(SAMPLE, HOUR_MS) })
    t.equal(JSON.parse(answer.body).error, 'timestamp_stale')
  }
  t.equal(trial.outbox.rejections.filter(({ kept }) => kept !== null).length, 3)
})

t.test('a duplicate makes its address trusted as well as a new event', async (t) => {
  const trial = await TrialListener.start(t, limited)
  await trial.genuine(SAMPLE, { from: '127.0.0.2' })
  await trial.genuine()
  await refuse(trial, 4)
  t.equal((await trial.genuine()).status, 204)
})

t.test('a genuine event makes its address trusted for an hour', async (t) => {
  const trial = await TrialListener.start(t, { rateLimit: { maxRefused: 3, perMs: 24 * HOUR_MS } })
  await trial.genuine(bodyOf(1))
  await refuse(trial, 4)
  trial.clock.at += HOUR_MS - 1
  t.equal((await trial.genuine(bodyOf(2))).status, 204)
  trial.clock.at += HOUR_MS - 1
  t.equal((await trial.genuine(bodyOf(3))).status, 204)
  trial.clock.at += HOUR_MS
  const answer = await trial.genuine(bodyOf(4))
  t.match(answer, { status: 429, headers: { 'retry-after': /^\d+$/ } })
  t.equal(trial.outbox.recorded.length, 3)
})

t.test('an event that was not recorded does not make its address trusted', async (t) => {
  const trial = await TrialListener.start(t, limited)
  trial.failWith(new RelayError('outbox_unavailable', 'full'))
  await trial.genuine()
  trial.failWith(null)
  await refuse(trial, 3)
  t.equal((await trial.genuine()).status, 429)
})

t.test('after the window an address is heard again', async (t) => {
  const trial = await TrialListener.start(t, { rateLimit: { maxRefused: 1, perMs: 200 } })
  await eventually(async () => (await refuse(trial, 2)).at(-1) === 429, 'it is limited')
  await eventually(async () => (await trial.genuine()).status === 204, 'it is heard again')
  t.equal(trial.outbox.recorded.length, 1)
})

t.test('X-Forwarded-For names the client only where a listed proxy says so', async (t) => {
  const trial = await TrialListener.start(t, { ...limited, trustProxy: ['127.0.0.1', '10.0.0.0/8'] })
  const peerOf = async (forwarded: string, from: string) => {
    const headers = { 'X-Forwarded-For': forwarded }
    t.equal((await trial.unsigned({ from, headers })).status, 401, `${forwarded} from ${from}`)
    return trial.outbox.rejections.at(-1)?.peer
  }
  t.equal(await peerOf('203.0.113.7', '127.0.0.1'), '203.0.113.7')
  t.equal(await peerOf('203.0.113.9', '127.0.0.2'), '127.0.0.2', 'no listed proxy')
  t.equal(await peerOf('198.51.100.1, 203.0.113.8', '127.0.0.1'), '203.0.113.8', 'what a client adds itself is left')
  t.equal(await peerOf('203.0.113.5, 10.1.2.3', '127.0.0.1'), '203.0.113.5', 'through two listed proxies')
  t.equal(await peerOf('2001:db8::1', '127.0.0.1'), '2001:db8::1')
  t.equal(await peerOf('203.0.113.10:4711', '127.0.0.1'), '203.0.113.10', 'with a port')
  t.equal(await peerOf('[2001:DB8:0::2]:4711', '127.0.0.1'), '2001:db8::2', 'in brackets, with a port')
  t.equal(await peerOf('::ffff:203.0.113.11', '127.0.0.1'), '203.0.113.11', 'IPv4 in IPv6')
  t.equal(
    await peerOf('203.0.113.12, ::ffff:10.1.2.3', '127.0.0.1'),
    '203.0.113.12',
    'through a proxy with such an address',
  )
  t.equal(await peerOf('fe80::1%eth0', '127.0.0.1'), 'fe80::1', 'without its zone')
  for (const garbage of ['not an address', 'unknown', '_hidden:80', '203.0.113.999', 'x'.repeat(5_000)]) {
    await trial.configure({ trustProxy: ['127.0.0.3'] })
    t.equal(await peerOf(garbage, '127.0.0.3'), '127.0.0.3', garbage.slice(0, 20))
  }
  t.same(trial.failures, [])
})

t.test('the limit counts by the client that a listed proxy names, and by nothing that anyone else says', async (t) => {
  const trial = await TrialListener.start(t, { ...limited, trustProxy: ['127.0.0.1'] })
  const refusedFrom = async (forwarded: string, from: string) =>
    (await trial.unsigned({ from, headers: { 'X-Forwarded-For': forwarded } })).status
  for (let i = 0; i < 3; i += 1) t.equal(await refusedFrom('203.0.113.7', '127.0.0.1'), 401)
  t.equal(await refusedFrom('203.0.113.7', '127.0.0.1'), 429)
  t.equal(await refusedFrom('203.0.113.8', '127.0.0.1'), 401)
  for (let i = 0; i < 3; i += 1) t.equal(await refusedFrom(`203.0.113.${i}`, '127.0.0.2'), 401)
  t.equal(await refusedFrom('203.0.113.99', '127.0.0.2'), 429)
})

t.test('neither a port, nor another address of the same network, makes another client', async (t) => {
  const trial = await TrialListener.start(t, { ...limited, trustProxy: ['127.0.0.1'] })
  const refusedAs = async (forwarded: string) =>
    (await trial.unsigned({ headers: { 'X-Forwarded-For': forwarded } })).status
  for (const forms of [
    ['203.0.113.7:1', '203.0.113.7:2', '203.0.113.7', '::ffff:203.0.113.7', '203.0.113.7:65535'],
    ['[2001:db8::1]:1', '[2001:db8::1]:2', '2001:db8::1', '2001:db8::2', '[2001:db8:0:0:ffff::]:9'],
    ['garbage:1', 'garbage:2', 'unknown', '', '!'],
  ]) {
    const statuses: number[] = []
    for (const form of forms) statuses.push(await refusedAs(form))
    t.same(statuses, [401, 401, 401, 429, 429], forms.join(' '))
  }
  t.equal(await refusedAs('2001:db8:0:1::1'), 401, 'the next network')
})

t.test('without listed proxies X-Forwarded-For means nothing', async (t) => {
  const trial = await TrialListener.start(t, limited)
  await trial.unsigned({ headers: { 'X-Forwarded-For': '203.0.113.7' } })
  t.match(trial.outbox.rejections, [{ peer: '127.0.0.1' }])
})
