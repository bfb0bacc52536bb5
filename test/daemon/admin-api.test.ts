import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { type Document, OpenAPIBackend } from 'openapi-backend'
import t, { type Test } from 'tap'
import { eventually } from '../eventually.ts'
import { scratch } from '../scratch.ts'
import { adminAddress, adminClient } from './admin-client.ts'
import { commandsIn, type Row, service, sink, sources } from './operator-commands.ts'
import { startRelay, writeConfig } from './relay-process.ts'
import { bodyOf, send } from './ultravox-sender.ts'

const STALE = { signedAt: Date.now() - 3_600_000 }

/** The same description without room for fields that it does not have, so that none is emitted that it does not name. */
function closed(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(closed)
  if (typeof node !== 'object' || node === null) return node
  const entries = Object.entries(node).map(([key, value]) => [key, closed(value)])
  const isOpen = 'type' in node && node.type === 'object' && !('additionalProperties' in node)
  return { ...Object.fromEntries(entries), ...(isOpen && { additionalProperties: false }) }
}

/** A relay that has delivered, failed for good, queued and refused something. */
async function running(t: Test) {
  const directory = scratch(t)
  const crm = await service(t, false)
  const targets = { crm: crm.target, archive: sink, later: { ...sink, paused: true } }
  const config = { sources, targets, routes: [{ events: ['*'], to: ['crm', 'archive', 'later'] }] }
  const relay = await startRelay(t, writeConfig(directory, { ...config, admin: { listen: '127.0.0.1:0' } }))
  const url = `${relay.origin}/webhooks/ultravox`
  await send(url, bodyOf('call.started', 'call-1'))
  await send(url, bodyOf('call.ended', 'call-1'))
  await send(url, bodyOf('call.ended', 'call-2'), STALE)
  await send(url, Buffer.from('{}'), { secret: 'another' })
  const admin = adminClient(adminAddress(relay))
  const list = async (path: string) => (await admin.get(path)).json() as { deliveries: Row[] } & Record<string, Row[]>
  await eventually(
    async () => (await list('/api/deliveries?state=dead&state=delivered')).deliveries.length === 4,
    'what can be over is',
  )
  // Of what nothing proves to be genuine, the sender is answered before it is on record.
  await eventually(
    async () => (await list('/api/rejections')).rejections!.length === 2,
    'and what was refused is there',
  )
  return { ...admin, directory, list, crm, relay, ...commandsIn(directory) }
}

t.test('on one relay', async (t) => {
  const { get, post, postText, list, json, target, relay, directory } = await running(t)

  await t.test('lists and documents are those of the commands', async (t) => {
    const event = (await list('/api/events')).events![0]!.eventId
    const delivery = (await list('/api/deliveries?target=crm')).deliveries[0]!.deliveryId
    const rejection = (await list('/api/rejections?kept=true')).rejections![0]!.rejectionId
    for (const [path, command] of [
      ['targets', 'targets list'],
      ['deliveries', 'deliveries list'],
      ['deliveries?state=dead&event=call.e*&limit=1', 'deliveries list --state dead --event call.e* --limit 1'],
      ['deliveries?state=dead,pending', 'deliveries list --state dead,pending'],
      ['deliveries?state=dead&state=pending', 'deliveries list --state dead --state pending'],
      ['calls?state=dead', 'calls list --state dead'],
      ['events?since=1h30m&until=23:59', 'events list --since 1h30m --until 23:59'],
      ['deliveries?error=410&since=1h&until=2030-01-01', 'deliveries list --error 410 --since 1h --until 2030-01-01'],
      [`deliveries/${delivery}`, `deliveries show ${delivery}`],
      ['events?call=call-1&limit=1', 'events list --call call-1 --limit 1'],
      ['events?state=none', 'events list --state none'],
      [`events/${event}`, `events show ${event}`],
      ['calls/call-1', 'calls show call-1'],
      ['gaps', 'events gaps'],
      ['rejections', 'rejections list'],
      ['rejections?reason=signature_mismatch', 'rejections list --reason signature_mismatch'],
      [`rejections/${rejection}`, `rejections show ${rejection}`],
    ] as const) {
      t.same((await get(`/api/${path}`)).json(), await json(command), path)
    }
    const [status, same] = [(await get('/api/status')).json(), await json('status')]
    for (const key of ['version', 'daemon', 'sources', 'targets', 'provider']) t.same(status[key], same[key], key)
    t.same(Object.keys(status).sort(), Object.keys(same).sort())
    const { entries } = await list('/api/tail?limit=1000')
    t.same([...new Set(entries!.map(({ kind }) => kind))].sort(), ['attempt', 'event', 'refusal'])
  })

  await t.test('what is asked for wrongly is refused with what is wrong, and changes nothing', async (t) => {
    const [unproven] = (await list('/api/rejections?kept=false')).rejections!
    for (const [path, body, status, message] of [
      ['deliveries/retry', {}, 400, /ids, or at least one filter/],
      ['deliveries/retry', undefined, 400, /body/],
      ['deliveries/retry', { tagret: 'crm' }, 400, /"tagret" is not known/],
      ['deliveries/retry', { ids: [] }, 400, /ids/],
      ['deliveries/retry', { ids: [1, 999] }, 404, /no delivery 999/],
      ['deliveries/cancel', { state: ['delivered'] }, 400, /state/],
      ['deliveries/retry', { target: 'crn' }, 404, /did you mean "crm"/],
      ['deliveries/cancel', { since: 'soon' }, 400, /^since: write an age/],
      ['events/replay', { call: 'call-1', to: 'crn' }, 404, /did you mean "crm"/],
      ['events/replay', { ids: ['evt_x'] }, 404, /no event evt_x/],
      ['rejections/admit', { ids: [unproven!.rejectionId] }, 409, /nothing proves who sent it/],
      ['targets/crn/pause', undefined, 404, /did you mean "crm"/],
    ] as const) {
      const answer = await post(`/api/${path}`, body)
      t.equal(answer.status, status, `${path}: ${answer.text}`)
      t.match(answer.json(), { error: /^[a-z_]+$/, message })
    }
    for (const [path, status, message] of [
      ['events?limit=1e999', 400, /limit must be <= 1000/],
      ['deliveries?limit=1001', 400, /limit must be <= 1000/],
      ['deliveries?limit=x', 400, /limit/],
      ['deliveries?stat=dead', 400, /"stat" is not known/],
      ['events?since=tomorrow', 400, /since: write an age/],
      ['rejections?reason=none', 400, /reason/],
      ['deliveries?state=dead,gone', 400, /state/],
      ['deliveries?target=crn', 404, /did you mean "crm"/],
      ['events?source=ultravxo', 404, /did you mean "ultravox"/],
      ['rejections?source=ultravxo', 404, /did you mean "ultravox"/],
      ['events?since=1h&until=2h', 400, /nothing can match/],
      ['deliveries/0', 400, /id/],
      ['deliveries/999', 404, /no delivery 999/],
      ['events/evt_x', 404, /no such event/],
      ['calls/nobody', 404, /nothing is known/],
      ['nothing', 404, /openapi/],
      ['events/%ZZ', 404, /no such event/],
      ['%ZZ', 404, /openapi/],
    ] as const) {
      const answer = await get(`/api/${path}`)
      t.equal(answer.status, status, `${path}: ${answer.text}`)
      t.match(answer.json(), { error: /^[a-z_]+$/, message })
    }
    const text = await post('/api/deliveries/retry', undefined, { 'content-type': 'text/plain' })
    t.match(text.json(), { error: 'invalid_request' }, 'a form of some page')
    t.equal((await list('/api/deliveries?state=dead')).deliveries.length, 2)
  })

  await t.test('no value is taken for another one, and nothing is passed over', async (t) => {
    const before = (await list('/api/deliveries?state=dead')).deliveries
    for (const [body, message] of [
      [{ target: 'crm', dryRun: null }, /dryRun must be boolean/],
      [{ target: 'crm', dryRun: 'false' }, /dryRun must be boolean/],
      [{ target: 'crm', dryRun: 0 }, /dryRun must be boolean/],
      [{ target: 'crm', dryRun: '' }, /dryRun must be boolean/],
      [{ target: 'crm', dryRun: [true] }, /dryRun must be boolean/],
      [{ target: ['crm'] }, /target must be string/],
      [{ target: null }, /target must be string/],
      [{ target: 7 }, /target must be string/],
      [{ target: '' }, /target must NOT have fewer than 1 characters/],
      [{ error: '' }, /error must NOT have fewer than 1 characters/],
      [{ ids: 1 }, /ids must be array/],
      [{ ids: ['1'] }, /ids\/0 must be integer/],
      [{ ids: [1.5] }, /ids\/0 must be integer/],
      [{ ids: [true] }, /ids\/0 must be integer/],
      [{ state: 'dead' }, /state must be array/],
      [{ state: [] }, /state must NOT have fewer than 1 items/],
      [{ eventId: [] }, /eventId must NOT have fewer than 1 items/],
      [[], /body must be object/],
      [null, /body must be object/],
      [7, /body must be object/],
    ] as const) {
      const answer = await post('/api/deliveries/retry', body)
      t.equal(answer.status, 400, `${JSON.stringify(body)}: ${answer.text}`)
      t.match(answer.json(), { error: /^(usage|invalid_request)$/, message })
    }
    for (const [path, text, message, type = 'application/json'] of [
      ['deliveries/retry', '{"target":"crm","dryRun":true,"dryRun":false}', /"dryRun" is there twice/],
      ['deliveries/retry', '{"target":"crm","dryRun":true,"dry\\u0052un":false}', /"dryRun" is there twice/],
      ['deliveries/retry', '\ufeff{"target":"crm","dryRun":true,"dryRun":false}', /"dryRun" is there twice/],
      ['deliveries/retry', '{"ids":[9007199254740993]}', /ids\/0 must be <= /],
      ['deliveries/retry', '{"ids":[1e999]}', /ids\/0 must be <= /],
      ['deliveries/retry', '', /[Bb]ody cannot be empty/],
      ['deliveries/retry', '{"target":"crm"}', /content-type: application\/json/, 'text/plain'],
      ['deliveries/retry', 'target=crm', /content-type: application\/json/, 'application/x-www-form-urlencoded'],
      ['deliveries/retry?dryRun=true', '{"target":"crm"}', /querystring: "dryRun" is not known/],
      ['targets/crm/pause?dryRun', undefined, /querystring: "dryRun" is not known/],
      ['targets/crm/pause', '{"dryRun":true}', /body: "dryRun" is not known/],
      ['targets/crm/pause', '[]', /body: must be object/],
      ['reload', '{"dryRun":true}', /body: "dryRun" is not known/],
      ['reload', 'true', /body: must be object/],
      ['targets/crm/pause', `${'['.repeat(400_000)}${']'.repeat(400_000)}`, /body: is nested more than 32 levels deep/],
      ['deliveries/retry', `{"ids":${'[{"a":'.repeat(40)}1${'}]'.repeat(40)}}`, /body: is nested more than 32 levels/],
    ] as const) {
      const answer = await postText(`/api/${path}`, text, type)
      t.ok([400, 415].includes(answer.status), `${path} ${text}: ${answer.text}`)
      t.match(answer.json(), { message })
    }
    const compressed = await post('/api/deliveries/retry', { target: 'crm' }, { 'content-encoding': 'GZIP' })
    t.match(compressed, { status: 415 })
    t.match(compressed.json(), { error: 'encoding_unsupported', message: /send the body uncompressed/ })
    for (const [asEvent, message] of [
      [{ callId: 'c' }, /required property 'event'/],
      [{ event: '' }, /fewer than 1|1 to 256 characters/],
      ...['call.*', 'call ended', 'call\0ended', 'e'.repeat(257)].map(
        (event) => [{ event }, /invalid name of an event: use 1 to 256 characters/] as const,
      ),
      [{ event: 'e', other: 1 }, /"other" is not known/],
    ] as const) {
      const answer = await post('/api/rejections/admit', { since: '1h', asEvent })
      t.match(answer, { status: 400 }, JSON.stringify(asEvent))
      t.match(answer.json(), { message })
    }
    for (const path of [
      'deliveries?limit=',
      'deliveries?limit=0x10',
      'deliveries?limit=1e1',
      'deliveries?limit=%205',
      'deliveries?limit=NaN',
      'deliveries?limit=1&limit=2',
      'deliveries?target=crm&target=later',
      'deliveries?target=',
      'deliveries?state=',
      'deliveries?state[]=dead',
      'rejections?kept=1',
      'rejections?kept=',
      'rejections?kept=null',
      'rejections?kept=true&kept=false',
      'deliveries/1e0',
      'deliveries/0x1',
      'status?target=crm',
      'targets?limit=1',
    ]) {
      t.equal((await get(`/api/${path}`)).status, 400, path)
    }
    const [host, port] = adminAddress(relay).split(':') as [string, string]
    for (const path of ['/%61pi/deliveries/retry?dryRun=true', `http://${host}/api/deliveries/retry?dryRun=true`]) {
      const asked = request({ host, port, path, method: 'POST', headers: { 'content-type': 'application/json' } })
      const [answer] = (await once(asked.end('{"target":"crm"}'), 'response')) as [IncomingMessage]
      t.equal(answer.resume().statusCode, 400, `${path}, another form of the same URL`)
    }
    t.same((await list('/api/deliveries?state=dead')).deliveries, before, 'nothing was done')
    t.match(await target('crm'), { pausedByCommand: false })
    t.equal((await post('/api/targets/crm/resume', {})).status, 200, 'an empty object asks for nothing')
    t.ok((await list('/api/deliveries?state=dead&state=pending')).deliveries.length > before.length)
  })

  await t.test('the API is described, and answers as it is described', async (t) => {
    const definition = closed((await get('/api/openapi.json')).json()) as Document
    const api = await new OpenAPIBackend({
      definition,
      ajvOpts: { allErrors: true },
      strict: true,
      customizeAjv: (ajv) => ajv.addFormat('date-time', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    }).init()
    const event = (await list('/api/events')).events![0]!.eventId
    const rejection = (await list('/api/rejections?kept=true')).rejections![0]!.rejectionId
    const asked: [string, string, object?][] = [
      ['getHealth', '/healthz'],
      ['getReadiness', '/readyz'],
      ['getMetrics', '/metrics'],
      ['getStatus', '/api/status'],
      ['getTail', '/api/tail'],
      ['listTargets', '/api/targets'],
      ['listDeliveries', '/api/deliveries'],
      ['getDelivery', '/api/deliveries/1'],
      ['listEvents', '/api/events'],
      ['getEvent', `/api/events/${event}`],
      ['listCalls', '/api/calls'],
      ['getCall', '/api/calls/call-1'],
      ['listGaps', '/api/gaps'],
      ['listRejections', '/api/rejections'],
      ['getRejection', `/api/rejections/${rejection}`],
      ['retryDeliveries', '/api/deliveries/retry', { target: 'crm', dryRun: true }],
      ['cancelDeliveries', '/api/deliveries/cancel', { target: 'later' }],
      ['moveDeliveries', '/api/deliveries/move', { target: 'later', to: 'crm', dryRun: true }],
      ['replayEvents', '/api/events/replay', { call: 'call-1', dryRun: true }],
      ['admitRejections', '/api/rejections/admit', { since: '1h', dryRun: true }],
      ['probeTarget', '/api/targets/crm/probe'],
      ['pauseTarget', '/api/targets/crm/pause'],
      ['resumeTarget', '/api/targets/crm/resume'],
      ['reload', '/api/reload'],
    ]
    t.same(
      asked.map(([id]) => id).sort(),
      api
        .getOperations()
        .map(({ operationId }) => operationId)
        .sort(),
      'all are here',
    )
    for (const [id, path, body] of asked) {
      const { method } = api.getOperation(id)!
      const answer = method === 'get' ? await get(path) : await post(path, body)
      t.equal(answer.status, 200, `${id}: ${answer.text}`)
      if (id === 'getMetrics') continue
      t.same(api.validateResponse(answer.json(), id, 200).errors ?? [], [], id)
    }
  })

  await t.test('targets are paused, resumed, and what takes a file is reloaded', async (t) => {
    t.same((await post('/api/targets/crm/pause')).json(), {
      target: 'crm',
      pausedByCommand: true,
      pausedByConfig: false,
      isChanged: true,
      pending: 0,
      underWay: 0,
    })
    t.match(await target('crm'), { pausedByCommand: true })
    t.match((await post('/api/targets/crm/resume')).json(), { pausedByCommand: false })
    t.match((await post('/api/reload')).json(), { configFile: /relay\.yaml$/, reloadedAt: /Z$/ })
    await eventually(() => relay.log.some(({ msg }) => msg === 'configuration reloaded'), 'it is logged')

    writeConfig(directory, { sources })
    const refused = await post('/api/reload')
    t.equal(refused.status, 422)
    t.match(refused.json(), { error: 'config_invalid', message: /the old configuration stays:\n.*targets/ })
  })
})

t.test('deliveries are tried anew and given up', async (t) => {
  const { post, list, crm, deliveries } = await running(t)
  crm.state.up = true
  const dryRun = await post('/api/deliveries/retry', { target: 'crm', dryRun: true })
  const forecast = { target: 'crm', added: 2, queued: 2, held: 0, waitsFor: null, rate: null, durationMs: null }
  const result = { matched: 2, targets: { crm: 2 }, dryRun: true, retried: 0 }
  t.same(dryRun.json(), { ...result, expected: [forecast], warnings: [] })
  const ids = (await list('/api/deliveries?target=crm')).deliveries.map(({ deliveryId }) => deliveryId)
  t.match((await post('/api/deliveries/retry', { ids: [ids[0]] })).json(), { matched: 1, retried: 1 })
  t.match((await post('/api/deliveries/retry', { target: 'crm' })).json(), { matched: 1, retried: 1 })
  await eventually(async () => (await deliveries('--target crm --state delivered')).length === 2, 'they have arrived')

  t.match((await post('/api/deliveries/cancel', { target: 'later' })).json(), { matched: 2, cancelled: 2 })
  t.equal((await deliveries('--target later --state cancelled')).length, 2)
})

t.test('events are replayed, and rejections admitted', async (t) => {
  const { post, list, crm, deliveries } = await running(t)
  crm.state.up = true
  const { events } = await list('/api/events?event=call.ended')
  t.match((await post('/api/events/replay', { ids: [events![0]!.eventId], to: 'crm' })).json(), {
    matched: 1,
    targets: { crm: 1 },
    replayed: 1,
  })
  await eventually(async () => (await deliveries('--target crm --state delivered')).length === 1, 'it has arrived')
  t.match((await post('/api/events/replay', { event: 'call.*' })).json(), {
    matched: 2,
    targets: { archive: 2, later: 2 },
  })

  const admitted = await post('/api/rejections/admit', { since: '2h' })
  t.match(admitted.json(), { matched: 1, admitted: 1, duplicates: 0, refused: [], targets: { crm: 1, archive: 1 } })
  t.equal((await list('/api/events?call=call-2')).events!.length, 1)
})
