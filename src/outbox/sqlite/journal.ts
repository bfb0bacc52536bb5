import type Database from 'better-sqlite3'
import type { JournalEntry, JournalFilter, JournalPage, JournalPosition } from '../operator.ts'
import { type Condition, eventCondition } from './filter.ts'

/** So many rows of each table are looked at in one step, however many were added meanwhile. */
const STEP = 10_000
const NO_LIMIT = -1

/** The last `count` entries. */
export function newestEntries(database: Database.Database, filter: JournalFilter, count: number): JournalPage {
  const upto = end(database)
  const entries = read(database, filter, { after: START, upto, limit: count })
  return { entries: entries.slice(Math.max(0, entries.length - count)), position: upto }
}

/** What has come after a position; there may be more after the new one. */
export function entriesAfter(database: Database.Database, filter: JournalFilter, after: JournalPosition): JournalPage {
  const last = end(database)
  const upto = {
    event: Math.min(last.event, after.event + STEP),
    attempt: Math.min(last.attempt, after.attempt + STEP),
    refusal: Math.min(last.refusal, after.refusal + STEP),
  }
  return { entries: read(database, filter, { after, upto, limit: NO_LIMIT }), position: upto }
}

interface Range {
  readonly after: JournalPosition
  readonly upto: JournalPosition
  readonly limit: number
}

const START: JournalPosition = { event: 0, attempt: 0, refusal: 0 }

function end(database: Database.Database): JournalPosition {
  return database
    .prepare(`
    select
      (select coalesce(max(event_seq), 0) from events) as event,
      (select coalesce(max(attempt_seq), 0) from attempts) as attempt,
      (select coalesce(max(seq), 0) from sqlite_sequence where name = 'rejections') as refusal`)
    .get() as JournalPosition
}

/** The newest `limit` entries of each kind in a range, all in the order in which they happened. */
function read(database: Database.Database, filter: JournalFilter, { after, upto, limit }: Range): JournalEntry[] {
  const found = (kind: JournalEntry['kind'], { sql, parameters }: Condition) => {
    const rows = database.prepare(sql).all({ ...parameters, after: after[kind], upto: upto[kind], limit })
    return (rows as Omit<JournalEntry, 'kind'>[]).reverse().map((row) => ({ ...row, kind }) as JournalEntry)
  }
  const entries = filter.kinds.flatMap((kind) => found(kind, journalQuery(kind, filter)))
  if (filter.kinds.includes('refusal')) entries.push(...found('refusal', repeatQuery(filter)))
  return entries.sort((a, b) => a.at - b.at)
}

/** The query for one kind of entries, the newest first; `after`, `upto` and `limit` are parameters too. */
export function journalQuery(kind: JournalEntry['kind'], filter: JournalFilter): Condition {
  switch (kind) {
    case 'event':
      return eventQuery(filter)
    case 'attempt':
      return attemptQuery(filter)
    case 'refusal':
      return refusalQuery(filter)
  }
}

function eventQuery(filter: JournalFilter): Condition {
  const { sql, parameters } = eventCondition(filter)
  return {
    sql: `
      select e.received_at as at, e.event_id as eventId, e.source, e.event, e.call_id as callId
      from events e
      where e.event_seq > @after and e.event_seq <= @upto and ${sql}
      order by e.event_seq desc
      limit @limit`,
    parameters,
  }
}

function attemptQuery(filter: JournalFilter): Condition {
  const { sql, parameters } = eventCondition(filter)
  const target = filter.target === undefined ? 'true' : 'a.target = @target'
  return {
    sql: `
      select
        a.started_at + a.duration_ms as at, a.delivery_id as deliveryId, a.target, a.attempt, a.outcome, a.status,
        a.error, a.note, a.started_at as startedAt, a.duration_ms as durationMs,
        e.event_id as eventId, e.source, e.event, e.call_id as callId
      from attempts a
      join events e on e.event_seq = a.event_seq
      where a.attempt_seq > @after and a.attempt_seq <= @upto and ${target} and ${ofCall(filter)} and ${sql}
      order by a.attempt_seq desc
      limit @limit`,
    parameters: { ...parameters, ...(filter.target === undefined ? {} : { target: filter.target }) },
  }
}

/** A call's attempts are found by its few deliveries; else all attempts there ever were would be read. */
function ofCall({ callId }: JournalFilter): string {
  if (callId === undefined) return 'true'
  const deliveriesIn = (table: string) => `
    select d.delivery_id from events c join ${table} d on d.event_seq = c.event_seq where c.call_id = @callId`
  return `a.delivery_id in (${deliveriesIn('live_deliveries')} union all ${deliveriesIn('finished_deliveries')})`
}

function refusalQuery(filter: JournalFilter): Condition {
  return refusalsBy('rejection_id', 'repeat_id is null', filter)
}

/** A kept rejection that was sent again is one entry, in the place of its last repeat. */
export function repeatQuery(filter: JournalFilter): Condition {
  return refusalsBy('repeat_id', 'true', filter)
}

function refusalsBy(place: string, which: string, { source }: JournalFilter): Condition {
  return {
    sql: `
      select received_at as at, rejection_id as rejectionId, source, reason, peer, bytes
      from rejections
      where ${place} > @after and ${place} <= @upto and ${which} and ${source === undefined ? 'true' : 'source = @source'}
      order by ${place} desc
      limit @limit`,
    parameters: source === undefined ? {} : { source },
  }
}
