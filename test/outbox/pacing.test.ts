import { createHash } from 'node:crypto'
import { join } from 'node:path'
import type Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { SqliteMaintenance } from '../../src/outbox/sqlite/sqlite-maintenance.ts'
import { SqliteOperator } from '../../src/outbox/sqlite/sqlite-operator.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { beginWrite, PacedWriter } from '../../src/outbox/sqlite/transaction.ts'
import { scratch } from '../scratch.ts'
import { newEvent, to } from './samples.ts'

const ROWS = 200
const CALL = 'the-call'

function numbers(t: Test) {
  const database = openDatabase(join(scratch(t), 'numbers.db'))
  t.teardown(() => database.close())
  database.exec('create table numbers (n)')
  return { database, insert: database.prepare('insert into numbers values (?)') }
}

t.test('a long action commits after a few milliseconds of work and pauses for at least as long', async (t) => {
  const { database, insert } = numbers(t)
  let now = 0
  const log: string[] = []
  const writer = new PacedWriter(database, {
    stopwatch: () => now,
    async pause(ms) {
      log.push(`pause ${ms}`)
      now += ms
    },
  })
  await writer.each([1, 2, 3, 4, 5], (n) => {
    insert.run(n)
    now += 3
    log.push(`row ${n}`)
  })
  t.same(log, ['row 1', 'row 2', 'row 3', 'pause 9', 'row 4', 'row 5'])
  await writer.write(() => {
    now += 10_000
  })
  await writer.write(() => {})
  t.same(log.slice(6), ['pause 6', 'pause 1000'], 'but not for ever')
})

t.test('what one step has done stays done when the next one fails', async (t) => {
  const { database, insert } = numbers(t)
  let now = 0
  const writer = new PacedWriter(database, { stopwatch: () => now, pause: async () => {} })
  const work = writer.each([1, 2, 3], (n) => {
    now += 10
    insert.run(n)
    if (n === 3) throw new Error('the third')
  })
  await t.rejects(work, { message: /the third/ })
  t.same(database.prepare('select n from numbers').pluck().all(), [1, 2])
  await writer.write(() => insert.run(4))
  t.equal(database.prepare('select count(*) from numbers').pluck().get(), 3, 'and the writer works on')
})

t.test('a writer that waits gets the database in the pause of another', async (t) => {
  const { database, insert } = numbers(t)
  const other = openDatabase(database.name, { timeout: 4 })
  t.teardown(() => other.close())
  const writer = new PacedWriter(database, {
    pause: async () => {
      beginWrite(other)
      other.exec('insert into numbers values (-1)')
      other.exec('commit')
    },
  })
  for (const n of [1, 2, 3]) await writer.write(() => insert.run(n))
  t.same(database.prepare('select n from numbers').pluck().all(), [1, -1, 2, -1, 3])
})

/** An outbox with events that were delivered to `crm`, died at `ops` and wait for `old`, and with kept rejections. */
async function filled(t: Test): Promise<string> {
  const path = join(scratch(t), 'relay.db')
  const outbox = await SqliteOutbox.open(path, (error) => t.fail(error.message))
  await outbox.record(newEvent({ eventId: 'first', callId: CALL }), [])
  await outbox.close()
  const database = openDatabase(path)
  const run = (sql: string) => database.prepare(sql).run()
  const each = `with recursive numbers (n) as (select 2 union all select n + 1 from numbers where n <= ${ROWS})`
  database.transaction(() => {
    run(`insert into events (event_id, source, event, call_id, received_at, origin)
      ${each} select 'evt' || n, 'ultravox', 'call.e' || n, '${CALL}', 1, 'webhook' from numbers`)
    run("insert into event_bodies select event_seq, x'7b7d' from events where event_seq > 1")
    const states = [
      ['crm', 'delivered'],
      ['ops', 'dead'],
    ]
    for (const [target, state] of states) {
      run(`insert into finished_deliveries (event_seq, target, state, attempts, round, finished_at)
        select event_seq, '${target}', '${state}', 1, 1, 1 from events`)
    }
    run("insert into sqlite_sequence values ('live_deliveries', 1000000)")
    run("insert into live_deliveries (event_seq, target, due_at, updated_at) select event_seq, 'old', 1, 1 from events")
    run(`insert into rejections (source, received_at, reason, request_id, peer, headers, body, body_hash)
      ${each} select 'ultravox', 1, 'timestamp_stale', 'r', 'p', '{}', cast(n || ' ${CALL} ' as blob), n from numbers`)
    // A prune spares the genuine ones, which have a body.
    run(`insert into rejections (source, received_at, reason, request_id, peer, headers)
      ${each} select 'ultravox', 1, 'signature_mismatch', 'r', 'p', '{}' from numbers`)
  })()
  database.close()
  return path
}

/** Whatever an operator can do to many rows. */
const ACTIONS: Readonly<
  Record<string, (operator: SqliteOperator, maintenance: SqliteMaintenance) => Promise<unknown>>
> = {
  retry: (operator) => operator.retryDeliveries({ target: 'ops', states: ['dead'] }, 5),
  'retry of ids': (operator) =>
    operator.retryDeliveries({ deliveryIds: Array.from({ length: 2 * ROWS }, (_, n) => n + 1) }, 5),
  cancel: (operator) => operator.cancelDeliveries({ target: 'old' }, 5),
  replay: async (operator) => {
    const events = await operator.readEvents({}, 0, ROWS)
    return operator.replay(
      events.map(({ eventSeq }) => ({ eventSeq, deliveries: to('new') })),
      5,
    )
  },
  accept: (operator) =>
    operator.admit(
      Array.from({ length: ROWS }, (_, n) => ({ rejectionId: n + 1, event: newEvent(), deliveries: to('crm') })),
      5,
    ),
  'clear of rejections': (operator) => operator.clearRejections({ reason: 'timestamp_stale' }),
  prune: async (operator, maintenance) => {
    await operator.cancelDeliveries({ target: 'old' }, 5)
    return maintenance.pruneEvents({ before: 5, dead: true, bodiesOnly: false }, 0, ROWS, 5)
  },
  'prune of rejections': (_, maintenance) => maintenance.pruneRejections(5, ROWS),
  erase: (_, maintenance) => maintenance.erase(CALL, true, 5),
}

for (const [name, act] of Object.entries(ACTIONS)) {
  t.test(`another writer has its turns during a long action: ${name}`, async (t) => {
    const path = await filled(t)
    const other = openDatabase(path, { timeout: 0 })
    const turns = turnsOf(other)
    // Time passes at each look: a step has few rows.
    let now = 0
    const pacing = {
      stopwatch: () => (now += 4),
      async pause(ms: number) {
        now += ms
        turns.take()
      },
    }
    const [operator, maintenance] = [SqliteOperator.open(path, pacing), SqliteMaintenance.open(path, pacing)]
    await act(operator, maintenance)
    t.ok(turns.seen.size >= 4, `${turns.seen.size} different states were seen between steps`)
    await Promise.all([operator.close(), maintenance.close()])
    other.close()
  })
}

/** Writes whenever it can, at once or not at all, and keeps what it saw of the tables that actions change. */
function turnsOf(database: Database.Database) {
  const write = database.prepare('insert into secret_uses values (?, ?, 1, 1)')
  const state = database
    .prepare(`
    select (select count(*) from live_deliveries) || ' ' || (select count(*) from finished_deliveries) || ' ' ||
      (select count(*) from rejections) || ' ' || (select count(*) from event_bodies)`)
    .pluck()
  const seen = new Set<string>()
  let n = 0
  return {
    seen,
    take() {
      database.transaction(() => {
        write.run('turn', createHash('sha256').update(String(n++)).digest('hex'))
        seen.add(state.get() as string)
      })()
    },
  }
}
