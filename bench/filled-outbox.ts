import { join } from 'node:path'
import type Database from 'better-sqlite3'
import { callKey } from '../src/outbox/sqlite/call-order.ts'
import { openOutboxFile } from '../src/outbox/sqlite/database.ts'
import { openDatabase } from '../src/outbox/sqlite/driver.ts'
import { bodyOf } from './requests.ts'

export interface Filling {
  /** So many unfinished deliveries, by target. */
  readonly pending?: Readonly<Record<string, number>>
  /** Whether they are about few calls, and wait for one another. */
  readonly ordered?: boolean
  /** So many events that were delivered long ago, to two targets each. */
  readonly delivered?: number
  /** So many of the first have a body as large as events have: those that are to be read. All others' have two bytes. */
  readonly bodies?: number
}

/** How many events of a call there are, where they are to be in order. */
const OF_A_CALL = 4

/** Makes an outbox as it is after long use. Nothing is synced: it is a measurement's, and may be lost. */
export function fillOutbox(directory: string, filling: Filling): void {
  const path = join(directory, 'relay.db')
  openOutboxFile(path).close()
  const database = openDatabase(path)
  // Without a log everything is written once, with a large cache in the order of the file, and indexes are made of what is there
  // already: a million rows in seconds.
  database.pragma('journal_mode = memory')
  database.pragma('synchronous = off')
  database.pragma('cache_size = -1048576')
  database.transaction(() => withoutIndexes(database, () => fill(database, filling))).immediate()
  database.pragma('journal_mode = wal')
  database.close()
}

/** Makes the indexes of events anew after something was done. */
function withoutIndexes(database: Database.Database, work: () => void): void {
  const indexes = database
    .prepare("select name, sql from sqlite_schema where type = 'index' and tbl_name = 'events' and sql is not null")
    .all() as { name: string; sql: string }[]
  for (const { name } of indexes) database.exec(`drop index ${name}`)
  work()
  for (const { sql } of indexes) database.exec(sql)
}

function fill(
  database: Database.Database,
  { pending = {}, ordered = false, delivered = 0, bodies = 0 }: Filling,
): void {
  database.function('call_key', callKey)
  // Call ids come scattered, as random ones do; ids of events come sorted.
  const events = database.prepare(`
    with recursive numbers (n) as (select @first union all select n + 1 from numbers where n < @last)
    insert into events (event_seq, event_id, source, event, call_id, received_at, origin, content_type)
    select
      n,
      printf('%036x', n),
      'ultravox',
      'call.' || (n % @ofACall),
      printf('%08x-%027x', (n / @ofACall * 2654435761) % 4294967296, n / @ofACall),
      @now,
      'webhook',
      'application/json'
    from numbers`)
  const contents = database.prepare(`
    insert into event_bodies (event_seq, body)
    select event_seq, iif(event_seq < @first + @bodies, @body, x'7b7d')
    from events
    where event_seq between @first and @last`)
  const live = database.prepare(`
    insert into live_deliveries (event_seq, target, call_key, ready, due_at, updated_at)
    select event_seq, @target, iif(@ofACall > 1, call_key(call_id), null), event_seq % @ofACall = 0, @now, @now
    from events
    where event_seq between @first and @last`)
  const finished = database.prepare(`
    insert into finished_deliveries (event_seq, target, state, attempts, round, finished_at, last_status)
    select event_seq, target, 'delivered', 1, 1, @now, 204
    from events, (select 'crm' as target union all select 'billing')
    where event_seq between @first and @last`)
  // A delivery keeps its id when it is finished, so those to come go on after these.
  const skip = database.prepare(`
    insert into sqlite_sequence (name, seq)
    select 'live_deliveries', max(delivery_id)
    from finished_deliveries`)
  const now = Date.now()
  const body = bodyOf()
  // A call's events begin at a multiple of how many there are.
  let next = OF_A_CALL

  // As bigint, for a number goes in as a real, and is divided as one.
  function record(count: number, ofACall: bigint, deliver: (range: { first: bigint; last: bigint }) => void): void {
    if (count === 0) return
    const range = { first: BigInt(next), last: BigInt(next + count - 1) }
    events.run({ ...range, ofACall, now })
    contents.run({ ...range, bodies, body })
    deliver(range)
    next = Math.ceil((next + count) / OF_A_CALL) * OF_A_CALL
  }

  record(delivered, 1n, (range) => {
    finished.run({ ...range, now })
    skip.run()
  })
  for (const [target, count] of Object.entries(pending)) {
    const ofACall = BigInt(ordered ? OF_A_CALL : 1)
    record(count, ofACall, (range) => live.run({ ...range, target, ofACall, now }))
  }
}
