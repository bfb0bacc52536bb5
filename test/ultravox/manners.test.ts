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
  [400, /was not taken \(400\)$/],
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
    ['{"callId":"a","created":"secret"}', 'created: is no time'],
  ]
  for (const [body, problem] of answers) {
    api.misbehave({ kind: 'answer', status: 200, body })
    const message = `GET /api/calls/${callId}: the answer is not as expected: ${problem}`
    await t.rejects(client.getCall(callId), { code: 'provider_failed', message })
  }
  api.misbehave({ kind: 'answer', status: 200, body: '{"results":[{"callId":null}]}' })
  const { value } = await client.listCalls().next()
  t.match(value, { items: [], unreadable: [/^GET \/api\/calls: results\.0\.callId: Invalid input/] })
  api.misbehave({ kind: 'answer', status: 200, body: '{"results":[{"webhookId":7}]}' })
  await t.rejects(client.listWebhooks(), { code: 'provider_failed', message: /results\.0\.webhookId: Invalid input/ })
})

t.test('a next page at another host, port or scheme is not asked for', async (t) => {
  const other = await httpServer(t, (response) => response.end('{"results":[]}'))
  const { api, client } = await oneCall(t)
  for (const next of [`${other.origin}/api/calls?cursor=s3cr3t`, api.baseUrl.replace('http', 'https'), 'https://[']) {
    api.misbehave({ kind: 'next', to: () => next })
    const refused = await t.rejects(pagesOf(client.listCalls()), { code: 'provider_refused' })
    t.match((refused as { message?: string }).message ?? '', /is not followed: check the base URL$/)
    t.notMatch((refused as { message?: string }).message ?? '', 's3cr3t')
  }
  t.equal(other.received.length, 0)
  t.equal(api.requests.length, 3)
})

t.test('a next page without a host is one of ours', async (t) => {
  const { api, client, callId } = await oneCall(t)
  api.misbehave({ kind: 'next', to: () => '/api/calls?cursor=OTk' })
  t.same((await pagesOf(client.listCalls())).map(idsOf), [[callId], [callId]])
})

t.test('pages that go in a circle are noticed', async (t) => {
  const { api, client } = await oneCall(t)
  const circle = (to: string) => api.misbehave({ kind: 'next', to: () => to })
  for (const next of ['/api/calls?cursor=Mg', '/api/calls?cursor=Mw', '/api/calls?cursor=Mg']) circle(next)
  await t.rejects(pagesOf(client.listCalls()), { code: 'provider_failed', message: /the pages go in a circle$/ })
  t.equal(api.requests.length, 3)
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
