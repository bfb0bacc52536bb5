import t from 'tap'
import { createFakeApi } from './fake-api.ts'
import { HandClock } from './hand-clock.ts'
import { idsOf, pagesOf, trialClient } from './trial-client.ts'

t.test('calls come page by page, to the last', async (t) => {
  const api = await createFakeApi(t, { pageSize: 2 })
  const ids = [1, 2, 3, 4, 5].map(() => api.calls.create())
  const { client } = trialClient(t, api.baseUrl)
  const pages = await pagesOf(client.listCalls())
  t.same(pages.map(idsOf), [[ids[4], ids[3]], [ids[2], ids[1]], [ids[0]]])
  t.equal(api.requests.length, 3)
})

t.test('of a call its progress is read, and its text is kept byte for byte', async (t) => {
  const clock = new HandClock()
  const api = await createFakeApi(t, { clock })
  const created = clock.now()
  const moreText = '"initialState":{"n":12345678901234567890, "x":1.0},"unheardOf":[]'
  const callId = api.calls.create({ moreText })
  clock.advance(1_000)
  api.calls.join(callId)
  clock.advance(1_000)
  api.calls.end(callId, 'agent_hangup')
  api.calls.bill(callId)
  const { client } = trialClient(t, api.baseUrl)
  const [listed] = (await pagesOf(client.listCalls())).flat()
  const got = (await client.getCall(callId))!
  for (const { raw, ...call } of [listed!, got]) {
    t.same(call, {
      callId,
      created,
      joined: created + 1_000,
      ended: created + 2_000,
      billingStatus: 'BILLING_STATUS_BILLED',
      endReason: 'agent_hangup',
    })
    t.equal(Buffer.from(raw).toString(), api.calls.text(callId))
    t.match(Buffer.from(raw).toString(), moreText)
  }
})

t.test('times of creation are inclusive, to the last microsecond of theirs', async (t) => {
  const clock = new HandClock()
  const api = await createFakeApi(t, { clock, order: 'oldest first' })
  const ids = [1, 2, 3, 4].map(() => {
    clock.advance(1)
    return api.calls.create()
  })
  const from = clock.now() - 2
  const to = clock.now() - 1
  const { client } = trialClient(t, api.baseUrl)
  t.same((await pagesOf(client.listCalls({ from, to }))).map(idsOf), [[ids[1], ids[2]]])
  t.match(api.requests[0]!.query, { fromDate: '2026-01-15T12:00:00.002Z', toDate: '2026-01-15T12:00:00.003999Z' })
})

t.test('calls that are created, ended and deleted while paging upset nothing', async (t) => {
  for (const order of ['oldest first', 'newest first'] as const) {
    const api = await createFakeApi(t, { pageSize: 2, order })
    const ids = [1, 2, 3, 4, 5].map(() => api.calls.create())
    api.beforeAnswer(({ query }) => {
      if (query.cursor === undefined || api.requests.length > 2) return
      ids.push(api.calls.create())
      api.calls.end(ids[2]!)
      api.calls.delete(order === 'oldest first' ? ids[1]! : ids[3]!)
    })
    const { client } = trialClient(t, api.baseUrl)
    const calls = (await pagesOf(client.listCalls())).flat()
    const expected = order === 'oldest first' ? ids : ids.slice(0, 5).reverse()
    t.same(idsOf(calls), expected, order)
    t.not(calls.find(({ callId }) => callId === ids[2])!.ended, null, 'as it is when its page is fetched')
  }
})

t.test('a call that is not there is null', async (t) => {
  const api = await createFakeApi(t)
  const { client } = trialClient(t, api.baseUrl)
  t.equal(await client.getCall('00000000-0000-4000-8000-000000000404'), null)
  t.equal(await client.recording('00000000-0000-4000-8000-000000000404'), null)
})

t.test('an id cannot lead elsewhere', async (t) => {
  const api = await createFakeApi(t)
  const { client } = trialClient(t, api.baseUrl)
  await client.getCall('x/../../webhooks?a=b#c')
  t.equal(api.requests[0]!.path, '/api/calls/x%2F..%2F..%2Fwebhooks%3Fa%3Db%23c')
})

t.test('an id that would be another path, or cannot be sent, is an id of nothing, and nothing is sent', async (t) => {
  const api = await createFakeApi(t)
  const { client } = trialClient(t, api.baseUrl)
  for (const id of ['', '.', '..', '\ud800']) {
    t.equal(await client.getCall(id), null, JSON.stringify(id))
    t.equal(await client.recording(id), null)
    await t.rejects(pagesOf(client.listMessages(id)), { status: 404, message: /is not an id$/ })
    t.equal(await client.deleteWebhook(id), false)
    await t.rejects(client.updateWebhook(id, {}), { status: 404, message: /is not an id$/ })
  }
  t.same(api.requests, [])
  for (const id of ['%2e%2e', '..%2f..', '...', 'a/..', '..\\..', 'a?b', 'ü']) await client.getCall(id)
  t.same(
    api.requests.map(({ path }) => path),
    ['%252e%252e', '..%252f..', '...', 'a%2F..', '..%5C..', 'a%3Fb', '%C3%BC'].map(
      (segment) => `/api/calls/${segment}`,
    ),
  )
})

t.test('of a deleted call its tombstone is listed', async (t) => {
  const clock = new HandClock()
  const api = await createFakeApi(t, { clock })
  const callId = api.calls.create()
  api.calls.end(callId)
  clock.advance(5)
  api.calls.delete(callId)
  const { client } = trialClient(t, api.baseUrl)
  const now = clock.now()
  const [deleted] = (await pagesOf(client.listDeletedCalls({ from: now - 5, to: now }))).flat()
  t.match(deleted!, { callId, created: now - 5, joined: null, ended: now - 5, endReason: 'unjoined', deletedAt: now })
  t.same(await pagesOf(client.listDeletedCalls({ from: now })), [[]])
  t.same(await pagesOf(client.listCalls()), [[]])
})

t.test('a transcript comes whole', async (t) => {
  const api = await createFakeApi(t, { pageSize: 2 })
  const callId = api.calls.create()
  const said = ['Hello', 'Hi', 'Bye'].map((text) => ({ role: 'MESSAGE_ROLE_USER', text }))
  for (const message of said) api.calls.addMessage(callId, message)
  api.calls.addMessage(callId, {})
  const { client } = trialClient(t, api.baseUrl)
  const messages = (await pagesOf(client.listMessages(callId))).flat()
  t.same(
    messages.map(({ role, text }) => ({ role, text })),
    [...said, { role: null, text: null }],
  )
  t.equal(Buffer.from(messages[0]!.raw).toString(), JSON.stringify(said[0]))
})

t.test('a transcript has the messages of all stages, by pages as large as the API documents', async (t) => {
  const api = await createFakeApi(t, { pageSize: 1_000 })
  const callId = api.calls.create()
  for (let stage = 0; stage < 3; stage++) {
    for (let n = 0; n < 50; n++) api.calls.addMessage(callId, { stage, text: `${stage}.${n}` })
  }
  const { client } = trialClient(t, api.baseUrl)
  const messages = (await pagesOf(client.listMessages(callId))).flat()
  t.equal(messages.length, 150)
  t.equal(messages[0]!.text, '0.0')
  t.match(api.requests[0]!.query, { mode: 'in_call', pageSize: '100' })
  t.match(api.requests[1]!.query, { mode: 'in_call' }, 'the following pages too')
})

t.test('a recording is told where it is, and not fetched', async (t) => {
  const api = await createFakeApi(t)
  const { client } = trialClient(t, api.baseUrl)
  const callId = api.calls.create()
  api.calls.setRecording(callId, { redirectTo: 'https://storage.test/a.wav?signature=s3cr3t' })
  const elsewhere = (await client.recording(callId))!
  t.equal(elsewhere.url.reveal(), 'https://storage.test/a.wav?signature=s3cr3t')
  t.equal(elsewhere.needsApiKey, false)
  api.calls.setRecording(callId, { wav: Buffer.alloc(1_000_000) })
  const here = (await client.recording(callId))!
  t.equal(here.url.reveal(), `${api.baseUrl}/api/calls/${callId}/recording`)
  t.equal(here.needsApiKey, true)
})

t.test('a base URL may have a path, and a slash at its end', async (t) => {
  const api = await createFakeApi(t)
  const { client } = trialClient(t, `${api.baseUrl}/gateway/`)
  await client.getCall('a')
  t.equal(api.requests[0]!.path, '/gateway/api/calls/a')
})
