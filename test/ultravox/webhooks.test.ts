import { inspect } from 'node:util'
import t from 'tap'
import { Secret } from '../../src/domain/secret.ts'
import { createFakeApi } from './fake-api.ts'
import { trialClient } from './trial-client.ts'

const EVENTS = ['call.ended', 'call.billed']

t.test('a webhook is created, listed, changed and deleted', async (t) => {
  const api = await createFakeApi(t)
  const { client } = trialClient(t, api.baseUrl)
  const made = await client.createWebhook({
    url: 'https://relay.test/in',
    events: EVENTS,
    secrets: [new Secret('old')],
  })
  t.match(made, { url: 'https://relay.test/in', events: EVENTS, agentId: null, status: 'normal', recentFailures: [] })
  t.same(JSON.parse(api.requests[0]!.body), { url: 'https://relay.test/in', events: EVENTS, secrets: ['old'] })
  t.same(await client.listWebhooks(), [made])

  const changed = await client.updateWebhook(made.webhookId, { secrets: [new Secret('old'), new Secret('new')] })
  t.same(
    changed.secrets.map((secret) => secret.reveal()),
    ['old', 'new'],
  )
  t.same(JSON.parse(api.requests.at(-1)!.body), { secrets: ['old', 'new'] }, 'nothing else is sent')
  t.equal(changed.url, made.url)

  t.equal(await client.deleteWebhook(made.webhookId), true)
  t.equal(await client.deleteWebhook(made.webhookId), false)
  t.same(await client.listWebhooks(), [])
})

t.test('a secret that the provider makes up is a secret at once', async (t) => {
  const api = await createFakeApi(t)
  const { client } = trialClient(t, api.baseUrl)
  const made = await client.createWebhook({ url: 'https://relay.test/in', events: EVENTS })
  t.match(made.secrets[0]!.reveal(), /^whsec_made_up/)
  for (const text of [JSON.stringify(made), inspect(made), inspect(await client.listWebhooks(), { depth: 9 })]) {
    t.notMatch(text, 'whsec_made_up')
  }
})

t.test('a webhook’s failures are told, with when', async (t) => {
  const api = await createFakeApi(t)
  const { webhookId } = api.webhooks.create({ url: 'http://127.0.0.1:1/', events: EVENTS })
  api.calls.end(api.calls.create())
  t.same(await api.webhooks.sendAll(), [{ webhookId, event: 'call.ended', status: null }])
  const { client, clock } = trialClient(t, api.baseUrl)
  const [webhook] = await client.listWebhooks()
  t.equal(webhook!.status, 'unhealthy')
  t.equal(webhook!.lastStatusChange, clock.now())
  t.same(webhook!.recentFailures, [{ at: clock.now(), failure: 'ECONNREFUSED' }])
})

t.test('creating is not repeated where it may have been done, and the error says so', async (t) => {
  const webhook = { url: 'https://relay.test/in', events: EVENTS }
  for (const kind of ['cut', 'drop'] as const) {
    const api = await createFakeApi(t)
    const { client } = trialClient(t, api.baseUrl)
    api.misbehave({ kind })
    await t.rejects(client.createWebhook(webhook), { code: 'provider_failed', message: /may have been done/ })
    t.equal(api.requests.length, 1)
    t.equal(api.webhooks.entries().length, kind === 'cut' ? 1 : 0)
  }
  const api = await createFakeApi(t)
  const { client } = trialClient(t, api.baseUrl)
  api.misbehave({ kind: 'answer', status: 503 })
  await t.rejects(client.createWebhook(webhook), {
    code: 'provider_failed',
    status: 503,
    message: /may have been done/,
  })
  t.equal(api.requests.length, 1)
})

t.test('creating is repeated where the provider has done nothing', async (t) => {
  const api = await createFakeApi(t)
  const { client, pauses } = trialClient(t, api.baseUrl)
  api.misbehave({ kind: 'answer', status: 429 })
  await client.createWebhook({ url: 'https://relay.test/in', events: EVENTS })
  t.equal(api.webhooks.entries().length, 1)

  const nowhere = trialClient(t, 'http://127.0.0.1:1')
  await t.rejects(nowhere.client.createWebhook({ url: 'https://relay.test/in', events: EVENTS }), {
    code: 'provider_failed',
    message: /connect: ECONNREFUSED 127\.0\.0\.1:1; tried 6 times$/,
  })
  t.equal(pauses.length, 1)
  t.equal(nowhere.pauses.length, 5)
})

t.test('changing and deleting are repeated: twice is as good as once', async (t) => {
  const api = await createFakeApi(t)
  const { client } = trialClient(t, api.baseUrl)
  const { webhookId } = api.webhooks.create({ url: 'https://relay.test/in', events: EVENTS })
  api.misbehave({ kind: 'cut' })
  const { url } = await client.updateWebhook(webhookId, { url: 'https://relay.test/other' })
  t.equal(url, 'https://relay.test/other')
  api.misbehave({ kind: 'answer', status: 500 })
  t.equal(await client.deleteWebhook(webhookId), true)
  t.equal(api.requests.length, 4)
})

t.test('what the provider finds wrong is told without the secrets it quotes', async (t) => {
  const api = await createFakeApi(t)
  const { client } = trialClient(t, api.baseUrl)
  const secret = 'quo"ted-secret'
  const body = `{"secrets":[${JSON.stringify(secret)},\n "is no good"],"key":"test-api-key-4f1b"}`
  api.misbehave({ kind: 'answer', status: 400, body })
  const refused = client.createWebhook({ url: 'https://relay.test/in', events: EVENTS, secrets: [new Secret(secret)] })
  await t.rejects(refused, {
    code: 'provider_refused',
    status: 400,
    message: 'POST /api/webhooks: was rejected (400): {"secrets":["[secret]", "is no good"],"key":"[secret]"}',
  })
})

t.test('a webhook that is not there cannot be changed', async (t) => {
  const api = await createFakeApi(t)
  const { client } = trialClient(t, api.baseUrl)
  await t.rejects(client.updateWebhook('gone', { events: EVENTS }), { code: 'provider_refused', status: 404 })
})
