import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { JournalEntry, JournalFilter } from '../../src/outbox/operator.ts'
import type { Rejection } from '../../src/outbox/outbox.ts'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { journalQuery, repeatQuery } from '../../src/outbox/sqlite/journal.ts'
import { SqliteOperator } from '../../src/outbox/sqlite/sqlite-operator.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { scratch } from '../scratch.ts'
import { attemptAt, newEvent, to } from './samples.ts'

const ALL = { kinds: ['event', 'attempt', 'refusal'] } as const

const refused: Rejection = {
  source: 'ultravox',
  receivedAt: 1_500,
  reason: 'signature_missing',
  requestId: 'req_1',
  peer: '10.0.0.1',
  bytes: 7,
  headers: '{}',
  kept: null,
}

/** An event received at 1000, a refusal at 1500, attempts that ended at 2005 (ops) and 3005 (crm), an event at 4000. */
async function filled(t: Test) {
  const path = join(scratch(t), 'relay.db')
  const outbox = await SqliteOutbox.open(path, (error) => t.fail(error.message))
  const operator = SqliteOperator.open(path)
  t.teardown(() => Promise.all([outbox.close(), operator.close()]))
  await outbox.record(newEvent({ eventId: 'evt_a', callId: 'call-a' }), to('crm', 'ops'))
  const try_ = async (target: string, startedAt: number, outcome: 'delivered' | 'failed') => {
    const [delivery] = (await outbox.claim(target, 1, 9_000)).deliveries
    const settlement = outcome === 'delivered' ? { state: outcome } : ({ state: 'pending', dueAt: 5_000 } as const)
    await outbox.settle(delivery!, attemptAt(delivery!, outcome, startedAt), settlement)
  }
  await try_('crm', 3_000, 'failed')
  await try_('ops', 2_000, 'delivered')
  await outbox.reject(refused)
  await outbox.record(newEvent({ eventId: 'evt_b', callId: 'call-b', receivedAt: 4_000, source: 'second' }), to('crm'))
  return { path, outbox, operator, try_ }
}

const told = (entries: readonly JournalEntry[]) => entries.map(({ kind, at }) => `${kind} ${at}`)

t.test('the last entries come in the order in which they happened, with what they are about', async (t) => {
  const { operator } = await filled(t)
  const { entries } = await operator.newestEntries(ALL, 10)
  const event = { eventId: 'evt_a', source: 'ultravox', event: 'call.ended', callId: 'call-a' }
  const attempt = { ...event, kind: 'attempt', attempt: 1, durationMs: 5, note: null }
  t.same(entries, [
    { ...event, kind: 'event', at: 1_000 },
    {
      kind: 'refusal',
      at: 1_500,
      rejectionId: 1,
      source: 'ultravox',
      reason: 'signature_missing',
      peer: '10.0.0.1',
      bytes: 7,
    },
    {
      ...attempt,
      at: 2_005,
      startedAt: 2_000,
      deliveryId: 2,
      target: 'ops',
      outcome: 'delivered',
      status: 200,
      error: null,
    },
    {
      ...attempt,
      at: 3_005,
      startedAt: 3_000,
      deliveryId: 1,
      target: 'crm',
      outcome: 'failed',
      status: 503,
      error: 'http 503',
    },
    { ...event, kind: 'event', at: 4_000, eventId: 'evt_b', callId: 'call-b', source: 'second' },
  ])
  t.same(told((await operator.newestEntries(ALL, 2)).entries), ['attempt 3005', 'event 4000'])
  t.same((await operator.newestEntries(ALL, 0)).entries, [])
})

t.test('entries can be chosen', async (t) => {
  const { operator } = await filled(t)
  const cases: [JournalFilter, string[]][] = [
    [{ kinds: ['refusal', 'event'] }, ['event 1000', 'refusal 1500', 'event 4000']],
    [{ ...ALL, source: 'second' }, ['event 4000']],
    [{ kinds: ['event', 'attempt'], callId: 'call-a' }, ['event 1000', 'attempt 2005', 'attempt 3005']],
    [{ kinds: ['event', 'attempt'], event: 'call.s*' }, []],
    [{ kinds: ['attempt'], target: 'ops' }, ['attempt 2005']],
  ]
  for (const [filter, expected] of cases) {
    t.same(told((await operator.newestEntries(filter, 10)).entries), expected, JSON.stringify(filter))
  }
})

t.test('what comes after a position is read once, by its number and not its time', async (t) => {
  const { operator, outbox, try_ } = await filled(t)
  const start = (await operator.newestEntries(ALL, 0)).position
  t.same(await operator.entriesAfter(ALL, start), { entries: [], position: start })
  // The clock has been put back.
  await outbox.record(newEvent({ receivedAt: 10 }), to('crm'))
  await try_('crm', 6_000, 'delivered')
  await outbox.reject({ ...refused, receivedAt: 20 })
  const { entries, position } = await operator.entriesAfter(ALL, start)
  t.same(told(entries), ['event 10', 'refusal 20', 'attempt 6005'])
  t.same(await operator.entriesAfter(ALL, position), { entries: [], position })
  await outbox.record(newEvent({ source: 'second', receivedAt: 30 }), [])
  const none = await operator.entriesAfter({ ...ALL, source: 'ultravox' }, position)
  t.same(
    none,
    { entries: [], position: { ...position, event: position.event + 1 } },
    'what is not meant is passed over',
  )
})

t.test('a long gap is read in steps', async (t) => {
  const { operator, path } = await filled(t)
  const database = openDatabase(path)
  database.exec(`
    with recursive n (value) as (select 1 union all select value + 1 from n where value < 10500)
    insert into rejections (source, received_at, reason, request_id, peer, headers)
    select 'ultravox', 5000 + value, 'signature_missing', 'req_1', '::1', '{}' from n`)
  database.close()
  const first = await operator.entriesAfter(ALL, { event: 2, attempt: 2, refusal: 1 })
  t.equal(first.entries.length, 10_000)
  t.equal((await operator.entriesAfter(ALL, first.position)).entries.length, 500)
})

t.test('neither new entries nor those of a call are looked for in the whole history', async (t) => {
  const { path } = await filled(t)
  const database = openDatabase(path, { readonly: true })
  t.teardown(() => database.close())
  for (const kind of ALL.kinds) {
    for (const filter of [ALL, { ...ALL, source: 'x' }, { ...ALL, callId: 'x' }, { ...ALL, target: 'x', event: 'y' }]) {
      const { sql, parameters } = journalQuery(kind, filter)
      const plan = database
        .prepare(`explain query plan ${sql}`)
        .all({ ...parameters, after: 1, upto: 2, limit: 3 })
        .map((row) => (row as { detail: string }).detail)
      t.same(
        plan.filter((step) => step.startsWith('SCAN ')),
        [],
        `${kind} ${JSON.stringify(filter)}`,
      )
      if (kind === 'attempt' && 'callId' in filter) t.match(plan[0], /attempts_by_delivery \(delivery_id=\?\)/)
      else if (kind !== 'event' || !('callId' in filter)) t.match(plan[0], /PRIMARY KEY \(rowid>\? AND rowid<\?\)/)
    }
  }
})

t.test('a kept rejection that is repeated is an entry each time that it is', async (t) => {
  const { operator, outbox, path } = await filled(t)
  const kept = { body: Buffer.from('genuine'), contentType: 'application/json' }
  await outbox.reject({ ...refused, receivedAt: 5_000, kept })
  await outbox.reject({ ...refused, receivedAt: 6_000 })
  let { position } = await operator.newestEntries(ALL, 0)
  for (const receivedAt of [7_000, 4_500, 8_000]) {
    await outbox.reject({ ...refused, receivedAt, kept })
    const page = await operator.entriesAfter(ALL, position)
    t.match(page.entries, [{ kind: 'refusal', at: receivedAt, rejectionId: 2 }], 'also where the clock was set back')
    t.same((await operator.entriesAfter(ALL, page.position)).entries, [])
    position = page.position
  }
  const { entries } = await operator.newestEntries({ kinds: ['refusal'] }, 10)
  t.same(told(entries), ['refusal 1500', 'refusal 6000', 'refusal 8000'], 'and one entry of all there is')

  const database = openDatabase(path, { readonly: true })
  t.teardown(() => database.close())
  const { sql, parameters } = repeatQuery({ ...ALL, source: 'ultravox' })
  const plan = database.prepare(`explain query plan ${sql}`).all({ ...parameters, after: 1, upto: 2, limit: 3 })
  t.match(plan, [{ detail: /^SEARCH .* rejections_repeated/ }])
})
