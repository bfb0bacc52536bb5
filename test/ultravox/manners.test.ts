import t, { type Test as TapTest } from 'tap'
import { httpServer } from '../local-server.ts'
import { createFakeApi, type FakeOptions } from './fake-api.ts'
import type { Manner } from './fake-manners.ts'
import { idsOf, pagesOf, trialClient } from './trial-client.ts'

/** A provider with one call, and a client of it. */
async function oneCall(t: TapTest, options?: FakeOptions, clientOptions?: Parameters<typeof trialClient>[2]) {
  const api = await createFakeApi(t, options)
  return { api, callId: api.calls.create(), ...trialClient(t, api.baseUrl, clientOptions) }
}

const PASSING: [string, Manner][] = [
  ['an answer 500', { kind: 'answer', status: 500 }],
  ['an answer 429', { kind: 'answer', status: 429 }],
  ['an answer 503 in HTML', { kind: 'answer', status: 503, body: '<html>' }],
  ['a connection that ends with no answer', { kind: 'drop' }],
  ['a connection that ends in the middle of an answer', { kind: 'cut' }],
]

for (const [what, manner] of PASSING) {
  t.test(`${what} is met by trying again, ever later`, async (t) => {
    const { api, client, callId, pauses } = await oneCall(t)
    api.misbehave(manner, { times: 2 })
    t.equal((await client.getCall(callId))!.callId, callId)
    t.same(pauses, [500, 1_000])
    t.equal(api.requests.length, 3)
  })
}

t.test('pauses are spread by chance', async (t) => {
  const { api, client, callId, pauses } = await oneCall(t, {}, { random: () => 0.999 })
  api.misbehave({ kind: 'answer', status: 500 })
  await client.getCall(callId)
  t.same(pauses, [750])
})

t.test('after six tries it is given up', async (t) => {
  const { api, client, callId, pauses } = await oneCall(t)
  api.misbehave({ kind: 'answer', status: 502 }, { times: 6 })
  await t.rejects(client.getCall(callId), {
    code: 'provider_failed',
    status: 502,
    message: `GET /api/calls/${callId}: the provider failed (502); tried 6 times`,
  })
  t.same(pauses, [500, 1_000, 2_000, 4_000, 8_000])
})

t.test('a Retry-After is kept to, in seconds or as a date, and up to a minute', async (t) => {
  const { api, client, callId, clock, pauses } = await oneCall(t)
  const in20s = new Date(clock.now() + 3_000 + 20_000).toUTCString()
  for (const value of ['3', in20s, '86400']) {
    api.misbehave({ kind: 'answer', status: 429, headers: { 'retry-after': value } })
  }
  await client.getCall(callId)
  t.same(pauses, [3_000, 20_000, 60_000])
})

t.test('a Retry-After is told also when it is given up, for whoever tries later', async (t) => {
  const { api, client, callId } = await oneCall(t)
  api.misbehave({ kind: 'answer', status: 429, headers: { 'retry-after': '30' } }, { times: 6 })
  await t.rejects(client.getCall(callId), { status: 429, message: /tried 6 times/, retryAfterMs: 30_000 })
})

t.test('an answer that does not come, or does not end, is waited for no longer than the timeout', async (t) => {
  const { api, client, callId, pauses } = await oneCall(t, {}, { timeoutMs: 750 })
  api.misbehave({ kind: 'hang' })
  api.misbehave({ kind: 'stall' })
  t.ok(await client.getCall(callId))
  t.same(pauses, [500, 1_000])
  api.misbehave({ kind: 'hang' })
  await t.rejects(client.createWebhook({ url: 'https://relay.test/in', events: [] }), {
    code: 'provider_failed',
    message: /^POST \/api\/webhooks: timeout: no complete answer within 0\.75s; it may have been done/,
  })
})

t.test('a slow answer is an answer', async (t) => {
  const { api, client, callId, pauses } = await oneCall(t)
  api.misbehave({ kind: 'delay', ms: 50 })
  t.ok(await client.getCall(callId))
  t.same(pauses, [])
})

t.test('an answer that is too large is cut off, and not asked for again', async (t) => {
  const { api, client, callId } = await oneCall(t, {}, { maxAnswerBytes: 10_000 })
  api.misbehave({ kind: 'answer', status: 200, body: 'x'.repeat(10_001) })
  await t.rejects(client.getCall(callId), { code: 'provider_failed', message: /the answer is too large$/ })
  t.equal(api.requests.length, 1)
})

const ADVICE: [number, RegExp][] = [
  [400, /was rejected \(400\)$/],
  [401, /the API key was refused \(401\): check ultravox\.apiKey$/],
  [403, /the API key may not do this \(403\)/],
]

for (const [status, message] of ADVICE) {
  t.test(`an answer ${status} says what to do, and is not asked for again`, async (t) => {
    const { api, client } = await oneCall(t)
    api.misbehave({ kind: 'answer', status })
    await t.rejects(client.listWebhooks(), { code: 'provider_refused', status, message })
    t.equal(api.requests.length, 1)
  })
}

t.test('what is no answer of the API is an error with a path in it and no value', async (t) => {
  const { api, client, callId } = await oneCall(t)
  const answers: [string, string][] = [
    ['<html>secret</html>', 'no JSON'],
    ['[]', 'the whole: Invalid input: expected object, received array'],
    ['{"callId":7}', 'callId: Invalid input: expected string, received number'],
    ['{"callId":"a\\ud800"}', 'callId: is not usable as a call id'],
    [`{"callId":"${'a'.repeat(257)}"}`, 'callId: is not usable as a call id'],
    ['{"callId":"a","created":"secret"}', 'created: is no time'],
  ]
  for (const [body, problem] of answers) {
    api.misbehave({ kind: 'answer', status: 200, body })
    const message = `GET /api/calls/${callId}: the answer is not as expected: ${problem}`
    await t.rejects(client.getCall(callId), { code: 'provider_failed', message })
  }
  api.misbehave({ kind: 'answer', status: 200, body: '\ufeff{"results":[{"callId":"marked"}],"next":null,"total":1}' })
  const marked = await client.listCalls().next()
  t.match(marked.value, { items: [{ callId: 'marked', raw: Buffer.from('{"callId":"marked"}') }] }, 'a byte order mark')
  api.misbehave({ kind: 'answer', status: 200, body: '{"results":[{"callId":null}]}' })
  const { value } = await client.listCalls().next()
  t.match(value, { items: [], unreadable: [{ problem: /^GET \/api\/calls: results\.0\.callId: Invalid input/ }] })
  api.misbehave({ kind: 'answer', status: 200, body: '{"results":[{"webhookId":7}]}' })
  await t.rejects(client.listWebhooks(), { code: 'provider_failed', message: /results\.0\.webhookId: Invalid input/ })
})

t.test('a next page is asked for where the API is configured, whatever its URL looks like', async (t) => {
  const other = await httpServer(t, (response) => response.end('{"results":[]}'))
  for (const prefix of ['', '/gateway/v1']) {
    const api = await createFakeApi(t, { pageSize: 2, pathPrefix: prefix })
    const ids = [1, 2, 3, 4, 5].map(() => api.calls.create())
    const { client } = trialClient(t, `${api.baseUrl}${prefix}`)
    const forms: ((next: URL) => unknown)[] = [
      (next) => next.href.replace('http:', 'https:'),
      (next) => `${other.origin}${next.pathname}${next.search}`,
      (next) => `//elsewhere.test${next.pathname}${next.search}`,
      (next) => `https://key@elsewhere.test:8443/v2/calls${next.search}#fragment`,
      (next) => `${next.pathname}${next.search}`,
      (next) => `?cursor=${next.searchParams.get('cursor')}`,
      (next) => `cursor=${next.searchParams.get('cursor')}`,
      (next) => `/api/calls?cursor=${next.searchParams.get('cursor')}`,
      (next) => `calls?pageSize=2&cursor=${next.searchParams.get('cursor')}`,
      (next) => next.searchParams.get('cursor'),
    ]
    for (const form of forms) {
      const before = api.requests.length
      const to = (next: string | null) => (next === null ? null : form(new URL(next)))
      api.misbehave({ kind: 'next', to }, { times: 3 })
      const calls = (await pagesOf(client.listCalls({ from: 0, agentId: null }))).flat()
      t.same(idsOf(calls), [...ids].reverse(), `${prefix} ${form}`)
      const asked = api.requests.slice(before)
      t.same(new Set(asked.map(({ path }) => path)), new Set([`${prefix}/api/calls`]))
      t.same(new Set(asked.map(({ query }) => query.fromDate)), new Set(['1970-01-01T00:00:00.000Z']), 'filters hold')
    }
  }
  t.equal(other.received.length, 0, 'the key goes nowhere else')
})

t.test('a list ends at a next that is null, empty or missing', async (t) => {
  const { api, client, callId } = await oneCall(t)
  for (const end of [null, '', ' ', undefined]) {
    api.misbehave({ kind: 'next', to: () => end })
    t.same((await pagesOf(client.listCalls())).map(idsOf), [[callId]], String(end))
  }
})

t.test('a list that ends before its total is not taken to be whole', async (t) => {
  const api = await createFakeApi(t, { pageSize: 2 })
  for (let i = 0; i < 5; i += 1) api.calls.create()
  const { client } = trialClient(t, api.baseUrl)
  for (const end of ['', undefined]) {
    api.misbehave({ kind: 'next', to: () => end })
    const pages: string[][] = []
    await t.rejects(
      async () => {
        for await (const { items } of client.listCalls()) pages.push(idsOf(items))
      },
      { name: 'BrokenList', message: /no next page after 2 of 5$/ },
    )
    t.equal(pages.length, 1, 'what was listed is not lost')
  }
})

t.test('a next page that cannot be told is an error after the page that names it', async (t) => {
  const { api, client, callId } = await oneCall(t)
  for (const next of [7, true, {}, ['s3cr3t'], 'https://[s3cr3t', '/api/calls', 'https://elsewhere.test/s3cr3t']) {
    api.misbehave({ kind: 'next', to: () => next })
    const pages: string[][] = []
    const problem = await t.rejects(
      async () => {
        for await (const { items } of client.listCalls()) pages.push(idsOf(items))
      },
      { name: 'BrokenList', code: 'provider_failed', message: /next has no cursor in it/ },
    )
    t.notMatch((problem as { message?: string }).message ?? '', 's3cr3t')
    t.same(pages, [[callId]], JSON.stringify(next))
  }
})

t.test('pages that go in a circle are noticed', async (t) => {
  const { api, client } = await oneCall(t)
  const circle = (to: string) => api.misbehave({ kind: 'next', to: () => to })
  for (const next of ['/api/calls?cursor=Mg', '/api/calls?cursor=Mw', '/api/calls?cursor=Mg']) circle(next)
  await t.rejects(pagesOf(client.listCalls()), { code: 'provider_failed', message: /the pages go in a circle$/ })
  t.equal(api.requests.length, 3)
})

t.test('pages that never end are noticed, by their repetition or by the total', async (t) => {
  const { api, client } = await oneCall(t, {}, { requestsPerSecond: 100_000 })
  let cursor = 1_000_000_000
  const endless = () => {
    cursor += 1
    return `?cursor=${Buffer.from(String(cursor)).toString('base64url')}`
  }
  api.misbehave({ kind: 'next', to: endless }, { times: 1_000 })
  await t.rejects(pagesOf(client.listCalls()), { name: 'BrokenList', message: /the pages do not end$/ })
  const asked = api.requests.length
  t.ok(asked < 200, `${asked} pages`)
})

t.test('a total is a number, also where it is written as text; anything else is none', async (t) => {
  const { api, client } = await oneCall(t)
  const totals: [string, number | null][] = [
    ['"1"', 1],
    ['1', 1],
    ['"many"', null],
    ['null', null],
    ['{}', null],
    ['1.5', null],
    ['-1', null],
  ]
  for (const [written, total] of totals) {
    api.misbehave({ kind: 'edit', edit: (body) => body.replace(/"total":\d+/, `"total":${written}`) })
    t.match(await client.listCalls().next(), { value: { total } }, written)
  }
})

t.test('a redirect is not followed', async (t) => {
  const other = await httpServer(t, (response) => response.end('{}'))
  const { api, client, callId } = await oneCall(t)
  api.misbehave({ kind: 'answer', status: 307, headers: { location: other.origin } })
  await t.rejects(client.getCall(callId), {
    code: 'provider_refused',
    message: /redirected \(307\), which is not followed/,
  })
  t.equal(other.received.length, 0)
  t.equal(api.requests.length, 1)
})

t.test('a redirect of a recording to nowhere is an error', async (t) => {
  const { api, client, callId } = await oneCall(t)
  api.misbehave({ kind: 'answer', status: 302 })
  await t.rejects(client.recording(callId), { code: 'provider_failed', message: /a redirect to nowhere$/ })
})
