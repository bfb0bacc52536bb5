import t from 'tap'
import { request } from 'undici'
import { Secret } from '../../src/domain/secret.ts'
import { API_KEY, createFakeApi } from './fake-api.ts'
import { createMockApi, readDescription } from './mock-api.ts'
import { pagesOf, trialClient } from './trial-client.ts'

const ID = '3c90c3cc-0d44-4b50-8888-8dd25736052a'
const WEBHOOK = { url: 'https://relay.test/in', events: ['call.ended'] }

t.test('each request of the client is allowed by the API description, and each allowed answer is taken', async (t) => {
  const mock = await createMockApi(t)
  const { client } = trialClient(t, mock.baseUrl)
  const between = { from: Date.UTC(2026, 0, 15), to: Date.UTC(2026, 0, 16) }
  const secrets = [new Secret('old'), new Secret('new')]
  for (mock.seed = 1; mock.seed <= 20; mock.seed += 1) {
    for (const list of [client.listCalls(), client.listCalls(between), client.listDeletedCalls(between)]) {
      t.equal((await pagesOf<object>(list)).length, 2)
    }
    t.ok(await client.getCall(ID))
    t.ok(await pagesOf<object>(client.listMessages(ID)))
    t.ok(await client.recording(ID))
    t.ok(await client.listWebhooks())
    t.ok(await client.createWebhook(mock.seed % 2 === 0 ? WEBHOOK : { ...WEBHOOK, agentId: ID, secrets }))
    t.ok(await client.updateWebhook(ID, mock.seed % 2 === 0 ? { secrets } : { ...WEBHOOK, agentId: null }))
    t.equal(await client.deleteWebhook(ID), true)
  }
  t.same(mock.rejected, [])
  t.same([...mock.taken].sort(), [...mock.operations].sort(), 'all were asked for')
})

t.test('what the API description does not allow is not taken by the mock', async (t) => {
  const mock = await createMockApi(t)
  const headers = { 'x-api-key': API_KEY, 'content-type': 'application/json' }
  const send = async (method: 'GET' | 'POST', path: string, body?: object, sent: object = headers) => {
    const text = body === undefined ? null : JSON.stringify(body)
    const answer = await request(mock.baseUrl + path, { method, headers: { ...sent }, body: text, reset: true })
    await answer.body.dump()
    return answer.statusCode
  }
  t.equal(await send('GET', '/api/webhooks', undefined, {}), 401)
  t.equal(await send('GET', '/api/call'), 404)
  t.equal(await send('GET', '/api/calls/no-uuid'), 422)
  t.equal(await send('GET', '/api/calls?from=2026-01-15T12:00:00Z'), 422)
  t.equal(await send('GET', '/api/calls?fromDate=2026-01-15'), 422)
  t.equal(await send('POST', '/api/webhooks', { events: [] }), 422)
  t.equal(await send('POST', '/api/webhooks', { ...WEBHOOK, events: ['call.over'] }), 422)
  t.equal(await send('POST', '/api/webhooks', { ...WEBHOOK, url: `https://relay.test/${'x'.repeat(200)}` }), 422)
  t.equal(await send('POST', '/api/webhooks', { ...WEBHOOK, secret: 'x' }), 422)
  t.equal(mock.rejected.length, 9)
  t.equal(await send('POST', '/api/webhooks', WEBHOOK), 201)
})

t.test('the fake answers as the API description says', async (t) => {
  const description = await readDescription({ check: true })
  const api = await createFakeApi(t, { pageSize: 2 })
  const [created, joined, ended, billed, deleted] = [1, 2, 3, 4, 5].map(() => api.calls.create())
  for (const id of [joined, ended, billed]) api.calls.join(id!)
  for (const id of [ended, billed, deleted]) api.calls.end(id!)
  api.calls.bill(billed!)
  api.calls.delete(deleted!)
  api.calls.addMessage(billed!, { role: 'MESSAGE_ROLE_AGENT', text: 'Hello' })
  const { webhookId } = api.webhooks.create({ url: 'http://127.0.0.1:1/', events: ['call.started'] })
  await api.webhooks.sendAll()

  const check = async (
    operation: string,
    status: number,
    path: string,
    method: 'GET' | 'POST' | 'PATCH',
    body?: object,
  ) => {
    const text = body === undefined ? null : JSON.stringify(body)
    const headers = { 'x-api-key': API_KEY }
    const answer = await request(api.baseUrl + path, { method, headers, body: text, reset: true })
    t.equal(answer.statusCode, status, path)
    const value = (await answer.body.json()) as { next?: string | null }
    t.same(description.validateResponse(value, operation, status).errors, null, path)
    return value.next?.replace(api.baseUrl, '') ?? null
  }
  for (let path: string | null = '/api/calls'; path !== null; ) path = await check('calls_list', 200, path, 'GET')
  for (const id of [created, joined, ended, billed]) await check('calls_retrieve', 200, `/api/calls/${id}`, 'GET')
  await check('calls_messages_list', 200, `/api/calls/${billed}/messages`, 'GET')
  await check('deleted_calls_list', 200, '/api/deleted_calls', 'GET')
  await check('webhooks_list', 200, '/api/webhooks', 'GET')
  await check('webhooks_create', 201, '/api/webhooks', 'POST', WEBHOOK)
  await check('webhooks_partial_update', 200, `/api/webhooks/${webhookId}`, 'PATCH', { secrets: ['new'] })
})
