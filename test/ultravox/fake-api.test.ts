import t from 'tap'
import { Secret } from '../../src/domain/secret.ts'
import { ultravoxDigest, ultravoxKey } from '../../src/domain/ultravox-signature.ts'
import { lifecycleOf } from '../../src/ultravox/lifecycle.ts'
import { httpServer } from '../local-server.ts'
import { createFakeApi } from './fake-api.ts'
import { FakeScript } from './fake-script.ts'
import { HandClock } from './hand-clock.ts'
import { trialClient } from './trial-client.ts'

const CALL = '3c90c3cc-0d44-4b50-8888-8dd25736052a'

t.test('the fake sends what happens to a call, signed with each secret of a webhook, when it is told to', async (t) => {
  const receiver = await httpServer(t, (response) => response.writeHead(204).end())
  const api = await createFakeApi(t)
  const events = ['call.started', 'call.ended']
  const { webhookId } = api.webhooks.create({ url: `${receiver.origin}/in`, events, secrets: ['old', 'new'] })
  const callId = api.calls.create({ moreText: '"initialState":{"n":12345678901234567890}' })
  const asCreated = api.calls.text(callId)
  api.calls.join(callId)
  api.calls.end(callId)
  t.equal(receiver.received.length, 0)
  t.same(await api.webhooks.sendAll(), [
    { webhookId, event: 'call.started', status: 204 },
    { webhookId, event: 'call.ended', status: 204 },
  ])
  const [{ body, headers, url }] = receiver.received as [(typeof receiver.received)[0]]
  t.equal(url, '/in')
  t.equal(body.toString(), `{"event":"call.started","call":${asCreated}}`, 'the call as it was then')
  const timestamp = String(headers['x-ultravox-webhook-timestamp'])
  const digests = ['old', 'new'].map((secret) => ultravoxDigest(ultravoxKey(new Secret(secret)), body, timestamp))
  t.equal(headers['x-ultravox-webhook-signature'], digests.map((digest) => digest.toString('hex')).join(','))
  t.same(await api.webhooks.sendAll(), [], 'each is sent once')
})

t.test('a webhook of one agent gets only that agent’s calls, and what is lost comes to nobody', async (t) => {
  const receiver = await httpServer(t, (response) => response.writeHead(204).end())
  const api = await createFakeApi(t)
  api.webhooks.create({ url: receiver.origin, events: ['call.started'], agentId: 'a' })
  for (const agentId of ['a', 'b']) api.calls.create({ agentId })
  t.equal((await api.webhooks.sendAll()).length, 1)
  api.calls.create({ agentId: 'a' })
  t.same(api.webhooks.loseAll(), ['call.started'])
  t.same(await api.webhooks.sendAll(), [])
})

t.test('a failure is kept with the webhook and makes it unhealthy, a redirect does not', async (t) => {
  let status = 302
  const receiver = await httpServer(t, (response) => response.writeHead(status).end())
  const api = await createFakeApi(t)
  const webhook = api.webhooks.create({ url: receiver.origin, events: ['call.started'] })
  api.calls.create()
  await api.webhooks.sendAll()
  t.equal(webhook.status, 'normal')
  status = 500
  api.calls.create()
  await api.webhooks.sendAll()
  t.match(webhook, { status: 'unhealthy', recentFailures: [{ failure: 'HTTP 500' }] })
})

t.test('a script plays the lives of calls, each step at its time', async (t) => {
  const clock = new HandClock()
  const api = await createFakeApi(t, { clock })
  const begin = clock.now()
  const script = new FakeScript(api.calls, clock, [
    { at: 0, callId: CALL, does: 'create' },
    { at: 9_000, callId: CALL, does: 'bill' },
    { at: 5_000, callId: CALL, does: 'end' },
    { at: 1_000, callId: CALL, does: 'join' },
    { at: 20_000, callId: CALL, does: 'delete' },
  ])
  const { client } = trialClient(t, api.baseUrl)
  script.playUntil(6_000)
  t.equal(clock.now(), begin + 6_000)
  t.same(lifecycleOf((await client.getCall(CALL))!), [
    { event: 'call.started', at: begin },
    { event: 'call.joined', at: begin + 1_000 },
    { event: 'call.ended', at: begin + 5_000 },
  ])
  script.playUntil(10_000)
  t.match(lifecycleOf((await client.getCall(CALL))!).at(-1), { event: 'call.billed' })
  script.playUntil(30_000)
  t.equal(await client.getCall(CALL), null)
})
