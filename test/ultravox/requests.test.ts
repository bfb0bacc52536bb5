import { inspect } from 'node:util'
import t from 'tap'
import { Secret } from '../../src/domain/secret.ts'
import { createUltravoxClient } from '../../src/ultravox/client.ts'
import { RequestGates } from '../../src/ultravox/request-gate.ts'
import { eventually } from '../eventually.ts'
import { tcpServer } from '../local-server.ts'
import { API_KEY, createFakeApi } from './fake-api.ts'
import { HandClock } from './hand-clock.ts'
import { pagesOf, trialClient } from './trial-client.ts'

t.test('no more than the allowed number of requests starts in a second, by however many at once', async (t) => {
  const api = await createFakeApi(t)
  const clock = new HandClock()
  const startedAt: number[] = []
  api.beforeAnswer(() => startedAt.push(clock.now()))
  const pause = async (ms: number) => clock.advance(ms)
  const { client } = trialClient(t, api.baseUrl, { clock, pause, requestsPerSecond: 5 })
  for (let i = 0; i < 10; i += 1) await client.getCall('a')
  const begin = startedAt[0]!
  t.same(
    startedAt.map((at) => at - begin),
    [0, 0, 0, 0, 0, 1_000, 1_000, 1_000, 1_000, 1_000],
  )
  await Promise.all([1, 2, 3, 4, 5].map(() => client.getCall('a')))
  t.ok(clock.now() - begin >= 2_000, 'those that wait together are counted together')
})

t.test('all clients with the same key share its rate, and the pause that the provider asks for', async (t) => {
  const api = await createFakeApi(t)
  const clock = new HandClock()
  const startedAt: number[] = []
  api.beforeAnswer(() => startedAt.push(clock.now()))
  const pause = async (ms: number) => clock.advance(ms)
  const shared = { clock, pause, gates: new RequestGates() }
  const { client: one } = trialClient(t, api.baseUrl, { ...shared, requestsPerSecond: 2 })
  const { client: other } = trialClient(t, api.baseUrl, { ...shared, requestsPerSecond: 2 })
  const begin = clock.now()
  for (let i = 0; i < 2; i++) for (const client of [one, other]) await client.getCall('a')
  const since = () => startedAt.map((at) => at - begin)
  t.same(since(), [0, 0, 1_000, 1_000])

  api.misbehave({ kind: 'answer', status: 429, headers: { 'retry-after': '30' } }, { times: 6 })
  await t.rejects(one.getCall('a'), { status: 429, message: /tried 6 times/ })
  startedAt.length = 0
  const refusedAt = clock.now() - begin
  await other.getCall('a')
  t.same(since(), [refusedAt + 30_000], 'the other waits for as long')
})

t.test('a clock that is set back does not lengthen the pause', async (t) => {
  const gate = new RequestGates().of('https://api.test', new Secret('a'), 1)
  let now = 1e12
  const pauses: number[] = []
  const pause = async (ms: number) => {
    pauses.push(ms)
    now += ms
  }
  gate.close(30_000, { now: () => now })
  now -= 864e5
  await gate.pass({ now: () => now }, pause, new AbortController().signal)
  t.same(pauses, [30_000])
})

t.test('another key has a rate of its own, and a changed rate holds for all', async (t) => {
  const gates = new RequestGates()
  const gate = gates.of('https://api.test', new Secret('a'), 1)
  t.equal(gates.of('https://api.test', new Secret('a'), 1), gate)
  t.not(gates.of('https://api.test', new Secret('b'), 1), gate)
  t.not(gates.of('https://other.test', new Secret('a'), 1), gate)
  const clock = new HandClock()
  const pauses: number[] = []
  const pause = async (ms: number) => {
    pauses.push(ms)
    clock.advance(ms)
  }
  const pass = () => gate.pass(clock, pause, new AbortController().signal)
  await pass()
  await pass()
  gates.of('https://api.test', new Secret('a'), 100)
  await pass()
  await pass()
  t.same(pauses, [1_000])
})

t.test('a repeated request is rationed as any other', async (t) => {
  const api = await createFakeApi(t)
  const { client, pauses } = trialClient(t, api.baseUrl, { requestsPerSecond: 1 })
  api.misbehave({ kind: 'answer', status: 500 })
  await client.getCall('a')
  t.same(pauses, [500, 500])
})

t.test('an abort ends a request, a pause and an iteration, with its reason', async (t) => {
  const reason = new Error('enough')
  const api = await createFakeApi(t)
  const abort = new AbortController()
  const { client } = trialClient(t, api.baseUrl)
  api.misbehave({ kind: 'hang' })
  const call = client.getCall('a', abort.signal)
  await eventually(() => api.requests.length === 1, 'the request has come')
  abort.abort(reason)
  await t.rejects(call, reason)
  await t.rejects(client.listWebhooks(abort.signal), reason)
  await t.rejects(pagesOf(client.listCalls({ signal: abort.signal })), reason)
  t.equal(api.requests.length, 1, 'nothing more was sent')

  const waiting = new AbortController()
  const realPauses = createUltravoxClient({ baseUrl: api.baseUrl, apiKey: new Secret(API_KEY), random: () => 0.5 })
  t.teardown(() => realPauses.close())
  api.misbehave({ kind: 'answer', status: 429, headers: { 'retry-after': '3600' } })
  const paused = realPauses.getCall('a', waiting.signal)
  await eventually(() => api.requests.length === 2, 'the request has come')
  waiting.abort('enough said')
  t.equal(await paused.catch((error: unknown) => error), 'enough said')
})

t.test('the signal of the client ends all of its requests', async (t) => {
  const api = await createFakeApi(t)
  const abort = new AbortController()
  const { client } = trialClient(t, api.baseUrl, { signal: abort.signal })
  api.misbehave({ kind: 'hang' }, { times: 2 })
  const both: Promise<unknown>[] = [client.getCall('a'), client.listWebhooks()]
  await eventually(() => api.requests.length === 2, 'the requests have come')
  abort.abort(new Error('shutting down'))
  for (const each of both) await t.rejects(each, { message: 'shutting down' })
})

t.test('a client that is closed ends what is under way and begins nothing', async (t) => {
  const api = await createFakeApi(t)
  const { client } = trialClient(t, api.baseUrl)
  api.misbehave({ kind: 'hang' })
  const call = client.getCall('a')
  await eventually(() => api.requests.length === 1, 'the request has come')
  const rejected = t.rejects(call, { code: 'provider_failed', message: 'the client was closed' })
  await client.close()
  await rejected
  await t.rejects(client.getCall('a'), { code: 'provider_failed', message: 'the client was closed' })
})

t.test('interim responses are skipped, and a status whose body breaks off is still the reason', async (t) => {
  const answers = [
    'HTTP/1.1 503 Busy\r\nretry-after: 7\r\ncontent-length: 50\r\n\r\n{"detail":',
    'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\ncontent-length: 50\r\n\r\n{',
  ]
  let requests = 0
  const { origin } = await tcpServer(t, (socket) => socket.once('data', () => socket.end(answers[requests++]!)))
  const pauses: number[] = []
  const { client } = trialClient(t, origin, { pause: async (ms) => void pauses.push(ms) })
  t.equal(await client.getCall('a'), null)
  t.ok(pauses.includes(7_000), 'the pause that the provider asked for')
  t.equal(requests, 2)
})

t.test('every request brings the key and our name', async (t) => {
  const api = await createFakeApi(t)
  const { client } = trialClient(t, api.baseUrl)
  await client.getCall('a')
  t.match(api.requests[0]!.headers, {
    'x-api-key': API_KEY,
    'user-agent': /^ultravox-relay\/\d/,
    accept: 'application/json',
  })
})

t.test('the key shows nowhere, whatever goes wrong', async (t) => {
  const api = await createFakeApi(t)
  const { client } = trialClient(t, api.baseUrl, { timeoutMs: 300 })
  const errors: unknown[] = []
  const attempt = async () => errors.push(await client.listWebhooks().catch((error: unknown) => error))
  for (const kind of ['drop', 'cut', 'hang'] as const) {
    api.misbehave({ kind }, { times: 6 })
    await attempt()
  }
  for (const status of [200, 400, 401, 403, 404, 302]) {
    api.misbehave({ kind: 'answer', status, body: `you sent ${API_KEY}` })
    await attempt()
  }
  t.equal(errors.length, 9)
  for (const error of errors) {
    t.match(error, { name: 'ProviderError' })
    const shown = inspect(error, { depth: 9, showHidden: true }) + JSON.stringify(error) + (error as Error).stack
    t.notMatch(shown, API_KEY)
  }
  t.notMatch(inspect(client, { depth: 9, showHidden: true }), API_KEY)
})

t.test('a base URL or a key that cannot be one is told at once', async (t) => {
  const make = (baseUrl: string, key: string) => () =>
    createUltravoxClient({ baseUrl, apiKey: new Secret(key), random: () => 0.5 })
  for (const url of ['api.ultravox.ai', 'ftp://api.ultravox.ai', 'https://', '']) {
    t.throws(make(url, 'key'), { code: 'config_invalid', message: /base URL/ }, url)
  }
  for (const key of ['', 'a\nb', 'a b', 'schlüssel']) {
    t.throws(
      make('https://api.test', key),
      { code: 'config_invalid', message: /ultravox\.apiKey/ },
      JSON.stringify(key),
    )
  }
})
