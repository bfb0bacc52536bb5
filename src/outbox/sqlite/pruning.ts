import type Database from 'better-sqlite3'
import type { Prunable, PruneFilter, PruneStep } from '../maintenance.ts'

/** Removes what is old and finished. Synchronous; removals are in a transaction of the caller's. */
export interface Pruning {
  count(filter: PruneFilter): Prunable
  /** The next events that may go after `after`, in the order of their arrival. Reads only, so nobody waits for it. */
  find(filter: PruneFilter, after: number, limit: number): number[]
  /** Removes all of an event but its identity, if it still may go. */
  remove(filter: PruneFilter, eventSeq: number, now: number): Omit<PruneStep, 'after'>
  /** The oldest that may go. */
  findRejections(before: number, limit: number): number[]
  /** Removes a rejection if it still may go. Returns how many were removed. */
  removeRejection(rejectionId: number, before: number): number
}

/** Kept ones hold genuine events that `rejections admit` can still record: only `rejections clear` and retention remove them. */
const UNKEPT = 'body is null'

export function createPruning(database: Database.Database): Pruning {
  const removeAttempts = database.prepare(`
    delete from attempts
    where delivery_id in (select delivery_id from finished_deliveries where event_seq = @eventSeq)`)
  const removeDeliveries = database.prepare('delete from finished_deliveries where event_seq = @eventSeq')
  const mark = database.prepare('update events set pruned_at = @now where event_seq = @eventSeq')
  const removeTracestate = database.prepare(`
    update events set tracestate = null
    where event_seq = @eventSeq and tracestate is not null`)
  const removeBody = database.prepare('delete from event_bodies where event_seq = @eventSeq')
  const still = new Map<string, Database.Statement>()
  const countRejections = database
    .prepare(`select count(*) from rejections where received_at < @before and ${UNKEPT}`)
    .pluck()
  const oldRejections = database
    .prepare(
      `select rejection_id from rejections where received_at < @before and ${UNKEPT} order by rejection_id limit @limit`,
    )
    .pluck()
  const removeRejection = database.prepare(
    `delete from rejections where rejection_id = @rejectionId and received_at < @before and ${UNKEPT}`,
  )

  /** Asked again before each removal: an operator may have retried a delivery meanwhile. */
  function mayStillGo(filter: PruneFilter, eventSeq: number): boolean {
    const condition = mayGo(filter)
    const statement =
      still.get(condition) ?? database.prepare(`select 1 from events e where e.event_seq = @eventSeq and ${condition}`)
    still.set(condition, statement)
    return statement.get({ before: filter.before, eventSeq }) !== undefined
  }

  return {
    count(filter) {
      const { events, bodyBytes } = database
        .prepare(`
        select count(*) as events, coalesce(sum(length(b.body)), 0) as bodyBytes
        from events e
        left join event_bodies b on b.event_seq = e.event_seq
        where ${mayGo(filter)}`)
        .get({ before: filter.before }) as { events: number; bodyBytes: number }
      return { events, bodyBytes, rejections: countRejections.get({ before: filter.before }) as number }
    },

    find: (filter, after, limit) =>
      database
        .prepare(`
        select e.event_seq
        from events e
        where e.event_seq > @after and ${mayGo(filter)}
        order by e.event_seq
        limit @limit`)
        .pluck()
        .all({ before: filter.before, after, limit }) as number[],

    remove(filter, eventSeq, now) {
      if (!mayStillGo(filter, eventSeq)) return { events: 0, deliveries: 0 }
      let deliveries = 0
      removeTracestate.run({ eventSeq })
      if (!filter.bodiesOnly) {
        removeAttempts.run({ eventSeq })
        deliveries = removeDeliveries.run({ eventSeq }).changes
        mark.run({ eventSeq, now })
      }
      removeBody.run({ eventSeq })
      return { events: 1, deliveries }
    },

    findRejections: (before, limit) => oldRejections.all({ before, limit }) as number[],

    removeRejection: (rejectionId, before) => removeRejection.run({ rejectionId, before }).changes,
  }
}

/** The condition over `events e` under which nobody needs one any more. */
function mayGo({ bodiesOnly, dead }: PruneFilter): string {
  // A dead delivery that holds its call back is still to be decided about, so it stays even where dead ones may go.
  const needed = dead
    ? `exists (
        select 1
        from held_calls h
        where h.target = f.target and h.call_key = f.call_key and h.delivery_id = f.delivery_id)`
    : 'true'
  const conditions = [
    'e.received_at < @before',
    'e.pruned_at is null',
    'not exists (select 1 from live_deliveries l where l.event_seq = e.event_seq)',
    `not exists (
      select 1
      from finished_deliveries f
      where f.event_seq = e.event_seq and f.state = 'dead' and ${needed})`,
    ...(bodiesOnly ? ['exists (select 1 from event_bodies p where p.event_seq = e.event_seq)'] : []),
  ]
  return conditions.join(' and ')
}
