import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { SqliteMaintenance } from '../../src/outbox/sqlite/sqlite-maintenance.ts'
import { SqliteOperator } from '../../src/outbox/sqlite/sqlite-operator.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { scratch } from '../scratch.ts'
import { POLICY, pruneAll } from './retention-contract.ts'
import { newEvent, TRACEPARENT, to } from './samples.ts'

const DAY = 86_400_000
const fail = (error: Error) => t.fail(error.message)

/** Events with such bodies, each of another byte. */
const large = (count: number, bytes = 100_000) =>
  Array.from({ length: count }, (_, n) => newEvent({ body: Buffer.alloc(bytes, 65 + (n % 26)) }))

t.test('the file gets smaller by itself, and keeps some room for what comes in', async (t) => {
  const path = join(scratch(t), 'relay.db')
  const outbox = await SqliteOutbox.open(path, fail)
  t.teardown(() => outbox.close())
  for (const event of large(200)) await outbox.record(event, [])
  await outbox.heldLogBytes()
  const before = statSync(path).size
  t.match(await pruneAll(outbox, 31 * DAY), { events: 200 })
  await outbox.heldLogBytes()
  const after = statSync(path).size
  t.ok(before > 20_000_000 && after < 5_000_000, `${before} and then ${after} bytes`)
  t.ok(after > 4_000_000, 'a thousand pages are left')
  t.match(await pruneAll(outbox, 31 * DAY, { ...POLICY, maxSizeBytes: 1_000_000 }), { excessBytes: 0 })
  await outbox.heldLogBytes()
  t.ok(statSync(path).size <= 1_000_000, 'unless it is larger than it may be')
})

t.test('a file that was not made so gets smaller once it is rewritten', async (t) => {
  const path = join(scratch(t), 'relay.db')
  await (await SqliteOutbox.open(path, fail)).close()
  const database = openDatabase(path)
  database.pragma('auto_vacuum = none')
  database.exec('vacuum')
  database.close()
  const shrinks = async () => {
    const maintenance = SqliteMaintenance.open(path)
    const { shrinks } = await maintenance.diagnose(false)
    await maintenance.close()
    return shrinks
  }
  t.equal(await shrinks(), false)
  const maintenance = SqliteMaintenance.open(path)
  await maintenance.vacuum()
  await maintenance.close()
  t.equal(await shrinks(), true)
})

t.test('what was removed is overwritten, in the file and soon in the log', async (t) => {
  const path = join(scratch(t), 'relay.db')
  const outbox = await SqliteOutbox.open(path, fail)
  const body = Buffer.from(`{"event":"call.ended","secret":"${'needle'.repeat(2_000)}"}`)
  const event = newEvent({ body, traceparent: TRACEPARENT, tracestate: `a=${'needle'.repeat(50)}` })
  await outbox.record(event, [])
  await pruneAll(outbox, 31 * DAY)
  await outbox.close()
  t.notOk(readFileSync(path).includes('needle'))
})

t.test('an event that was pruned is not one that went nowhere', async (t) => {
  const path = join(scratch(t), 'relay.db')
  const outbox = await SqliteOutbox.open(path, fail)
  const event = newEvent()
  await outbox.record(event, [])
  const operator = SqliteOperator.open(path)
  t.teardown(async () => {
    await operator.close()
    await outbox.close()
  })
  t.equal((await operator.listEvents({ deliveryStates: ['none'] }, 9)).length, 1)
  await pruneAll(outbox, 31 * DAY)
  t.same(await operator.listEvents({ deliveryStates: ['none'] }, 9), [])
  t.match(await operator.listEvents({}, 9), [{ eventId: event.eventId, prunedAt: 31 * DAY }])
  t.match(await operator.status(31 * DAY), { events: 0 })
  t.equal(await operator.replay([{ eventSeq: 1, deliveries: to('crm') }], 31 * DAY), 0, 'nor sent without its body')
})

t.test('a reader that does not end holds the log, and that is seen', async (t) => {
  const path = join(scratch(t), 'relay.db')
  const outbox = await SqliteOutbox.open(path, fail)
  t.teardown(() => outbox.close())
  await outbox.record(newEvent(), to('crm'))
  const reader = openDatabase(path, { readonly: true })
  reader.exec('begin')
  reader.prepare('select count(*) from events').get()
  for (const event of large(60)) await outbox.record(event, [])
  t.ok((await outbox.heldLogBytes()) > 6_000_000)
  reader.exec('commit')
  reader.close()
  t.equal(await outbox.heldLogBytes(), 0)
  await outbox.record(newEvent(), [])
  t.ok(statSync(`${path}-wal`).size <= 16 * 1024 * 1024)
})

t.test('retention finds the oldest by an index', async (t) => {
  const path = join(scratch(t), 'relay.db')
  await (await SqliteOutbox.open(path, fail)).close()
  const database = openDatabase(path, { readonly: true })
  const plan = (sql: string) =>
    (database.prepare(`explain query plan ${sql}`).all() as { detail: string }[]).map(({ detail }) => detail)
  t.same(
    plan(`
      select event_seq, received_at from events
      where pruned_at is null and (received_at, event_seq) > (1, 1) and received_at < 5
      order by received_at, event_seq limit 100`),
    ['SEARCH events USING INDEX events_whole (received_at>? AND received_at<?)'],
  )
  t.same(
    plan(
      'select event_seq, received_at from events where pruned_at is not null and received_at < 5 order by received_at limit 100',
    ),
    ['SEARCH events USING INDEX events_pruned (received_at<?)'],
  )
  database.close()
})
