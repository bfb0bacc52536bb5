import { join } from 'node:path'
import t from 'tap'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { migrate } from '../../src/outbox/sqlite/migrate.ts'
import { createRejectionStore } from '../../src/outbox/sqlite/rejections.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { scratch } from '../scratch.ts'
import { attemptAt, newEvent, to } from './samples.ts'

/** 2026-01-15T12:00:00.123Z */
const NOW = Date.UTC(2026, 0, 15, 12, 0, 0, 123)

/** An outbox with one event for four targets: delivered, dead, retrying, and not tried yet. */
async function filledOutbox(directory: string) {
  const path = join(directory, 'relay.db')
  const outbox = await SqliteOutbox.open(path, (error) => t.fail(error.message))
  const event = newEvent({
    receivedAt: NOW,
    callId: 'call-x',
    body: Buffer.from('{ "event":"call.ended", "call":{"callId":"call-x","note":"äöü – ✓"} }\n'),
  })
  await outbox.record(event, to('delivered', 'dead', 'retrying', 'waiting'))
  await outbox.record({ ...event, eventId: 'evt_twice' }, to('delivered'))
  const attempts = [
    ['delivered', { state: 'delivered' }],
    ['refused', { state: 'dead' }],
    ['failed', { state: 'pending', dueAt: NOW + 5_000 }],
  ] as const
  for (const [index, target] of ['delivered', 'dead', 'retrying'].entries()) {
    const { deliveries } = await outbox.claim(target, 1, NOW)
    const [outcome, settlement] = attempts[index]!
    await outbox.settle(deliveries[0]!, attemptAt(deliveries[0]!, outcome, NOW + 1), settlement)
  }
  const database = openDatabase(path, { readonly: true })
  return { outbox, event, database, all: (sql: string) => database.prepare(sql).all() as Record<string, unknown>[] }
}

t.test('the views have the columns that operators rely on, in order', async (t) => {
  const { outbox, database } = await filledOutbox(scratch(t))
  t.teardown(() => outbox.close())
  const columns = (view: string) =>
    (database.pragma(`table_info(${view})`) as { name: string }[]).map(({ name }) => name).join(', ')
  const delivery =
    'delivery_id, event_id, event, call_id, target, state, attempts, due_at, updated_at, last_status, last_error'
  t.equal(
    columns('event_log'),
    'event_id, source, event, call_id, received_at, origin, duplicates, body, pruned_at, trace_id',
  )
  t.equal(columns('delivery_log'), delivery)
  t.equal(columns('failed_deliveries'), delivery)
  t.equal(
    columns('attempt_log'),
    'delivery_id, target, attempt, started_at, duration_ms, outcome, status, error, response, note',
  )
  t.match(columns('rejection_log'), /^rejection_id, source, received_at, reason, peer, bytes, body/)
})

t.test('event_log shows the event with ISO times, its duplicates and its body byte for byte', async (t) => {
  const { outbox, event, all } = await filledOutbox(scratch(t))
  t.teardown(() => outbox.close())
  const [row] = all('select * from event_log')
  t.match(row, {
    event_id: event.eventId,
    source: 'ultravox',
    event: 'call.ended',
    call_id: 'call-x',
    received_at: '2026-01-15T12:00:00.123Z',
    origin: 'webhook',
    duplicates: 1,
  })
  t.same(Buffer.from(row!.body as string), event.body)
  t.same(all("select json_extract(body, '$.call.callId') as id from event_log"), [{ id: 'call-x' }])
})

t.test('delivery_log shows where each delivery stands, failed_deliveries what needs a look', async (t) => {
  const { outbox, event, all } = await filledOutbox(scratch(t))
  t.teardown(() => outbox.close())
  const base = { event_id: event.eventId, event: 'call.ended', call_id: 'call-x' }
  const updated = '2026-01-15T12:00:00.129Z'
  const rows = [
    { ...base, target: 'dead', state: 'dead', attempts: 1, due_at: null, updated_at: updated, last_status: 503 },
    { ...base, target: 'delivered', state: 'delivered', attempts: 1, due_at: null, last_status: 200, last_error: null },
    {
      ...base,
      target: 'retrying',
      state: 'pending',
      attempts: 1,
      due_at: '2026-01-15T12:00:05.123Z',
      last_error: 'http 503',
    },
    { ...base, target: 'waiting', state: 'pending', attempts: 0, due_at: '2026-01-15T12:00:00.123Z', last_error: null },
  ]
  t.match(all('select * from delivery_log order by target'), rows)
  const failed = all('select * from failed_deliveries order by target')
  t.match(failed, [rows[0], rows[2]])
  t.equal(failed.length, 2)
})

t.test('attempt_log shows each attempt with its answer', async (t) => {
  const { outbox, all } = await filledOutbox(scratch(t))
  t.teardown(() => outbox.close())
  t.match(all('select * from attempt_log order by target'), [
    { target: 'dead', attempt: 1, outcome: 'refused', status: 503, error: 'http 503', response: 'answer' },
    {
      target: 'delivered',
      attempt: 1,
      started_at: '2026-01-15T12:00:00.124Z',
      duration_ms: 5,
      outcome: 'delivered',
      error: null,
    },
    { target: 'retrying', attempt: 1, outcome: 'failed', status: 503 },
  ])
})

t.test('what operators ask most never reads the whole history', async (t) => {
  const { outbox, all } = await filledOutbox(scratch(t))
  t.teardown(() => outbox.close())
  for (const query of [
    "select * from event_log where call_id = 'x'",
    "select * from event_log where event_id = 'x'",
    "select * from delivery_log where call_id = 'x'",
    "select * from delivery_log where event_id = 'x'",
    'select * from delivery_log where delivery_id = 1',
    "select * from failed_deliveries where target = 'x'",
    'select * from failed_deliveries',
    'select * from attempt_log where delivery_id = 1',
  ]) {
    const plan = all(`explain query plan ${query}`).map(({ detail }) => String(detail))
    // Over a view's own result, or over a partial index that holds only what is asked for.
    const scans = plan.filter(
      (step) => /^SCAN /.test(step) && !/^SCAN (delivery_log|failed_deliveries)$|_(failing|dead)$/.test(step),
    )
    t.same(scans, [], query)
  }
})

t.test('a claim reads one target from one index, whatever else is in the outbox', async (t) => {
  const { outbox, all } = await filledOutbox(scratch(t))
  t.teardown(() => outbox.close())
  const plan = all(`
    explain query plan
    select delivery_id from live_deliveries
    where target = 'x' and background = 0 and due_at <= 1 and ready = 1 order by due_at, delivery_id limit 8`)
  t.match(plan, [
    { detail: /^SEARCH .* COVERING INDEX live_deliveries_by_due \(target=\? AND background=\? AND due_at<\?\)$/ },
  ])
  t.equal(plan.length, 1, 'nothing is sorted')
})

t.test('kept rejections come back byte for byte, and the same one twice is one row', async (t) => {
  const { outbox, all } = await filledOutbox(scratch(t))
  t.teardown(() => outbox.close())
  const body = Buffer.from('{"event":"call.ended","call":{"callId":"late"}}')
  const rejection = {
    source: 'ultravox',
    receivedAt: NOW,
    reason: 'timestamp_stale',
    requestId: 'req_1',
    peer: '10.0.0.1',
    bytes: body.length,
    headers: '{}',
    kept: { body, contentType: 'application/json' },
  } as const
  await outbox.reject(rejection)
  await outbox.reject({ ...rejection, receivedAt: NOW + 30_000 })
  await outbox.reject({ ...rejection, reason: 'signature_missing', bytes: null, kept: null })
  t.match(all('select * from rejection_log order by rejection_id'), [
    {
      reason: 'timestamp_stale',
      received_at: '2026-01-15T12:00:30.123Z',
      request_id: 'req_1',
      peer: '10.0.0.1',
      bytes: body.length,
      times: 2,
      body: body.toString(),
    },
    { reason: 'signature_missing', bytes: null, body: null, times: 1 },
  ])
  t.same(all("select json_extract(body, '$.call.callId') as id from rejection_log where body is not null"), [
    { id: 'late' },
  ])
})

t.test('unproven rejections are bounded and do not push out the kept ones', async (t) => {
  const { outbox, all } = await filledOutbox(scratch(t))
  t.teardown(() => outbox.close())
  const noise = {
    source: 's',
    receivedAt: NOW,
    reason: 'signature_missing',
    requestId: 'req_1',
    peer: '::1',
    bytes: 1,
    headers: '{}',
  } as const
  await outbox.reject({ ...noise, reason: 'timestamp_stale', kept: { body: Buffer.from('{}'), contentType: null } })
  await Promise.all(Array.from({ length: 12_500 }, () => outbox.reject({ ...noise, kept: null })))
  const [{ unproven, kept }] = all(`
    select sum(body is null) as unproven, sum(body is not null) as kept from rejection_log`) as [Record<string, number>]
  t.ok(unproven! >= 10_000 && unproven! <= 11_000, `${unproven} are left`)
  t.equal(kept, 1)
})

t.test('the bodies of kept rejections are bounded too; the newest stay', async (t) => {
  const database = openDatabase(':memory:')
  migrate(database)
  const store = createRejectionStore(database, 10_000)
  for (let n = 0; n < 1_001; n++) {
    const kept = { body: Buffer.from(`${n}`.padEnd(100)), contentType: null }
    store.reject({
      source: 's',
      receivedAt: n,
      reason: 'timestamp_stale',
      requestId: 'req_1',
      peer: '::1',
      bytes: 100,
      headers: '{}',
      kept,
    })
  }
  const left = database.prepare('select received_at from rejections order by rejection_id').pluck().all() as number[]
  t.equal(left.length, 100)
  t.equal(left.at(-1), 1_000)
  database.close()
})
