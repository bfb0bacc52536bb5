import type Database from 'better-sqlite3'
import type { Prunable, PruneFilter, PruneStep } from '../maintenance.ts'

/** Removes what is old and done with. Synchronous; the steps are in a transaction of the caller's. */
export interface Pruning {
  count(filter: PruneFilter): Prunable
  /** The next events that may go after `after`, in the order of their arrival. Reads only, so nobody waits for it. */
  find(filter: PruneFilter, after: number, limit: number): number[]
  /** Removes those of these events that still may go, all but their identity. */
  remove(filter: PruneFilter, eventSeqs: readonly number[], now: number): Omit<PruneStep, 'after'>
  removeRejections(before: number, limit: number): number
}

export function createPruning(database: Database.Database): Pruning {
  const removeAttempts = database.prepare(`
    delete from attempts
    where delivery_id in (
      select delivery_id
      from finished_deliveries
      where event_seq in (select value from json_each(@seqs)))`)
  const removeDeliveries = database.prepare(`
    delete from finished_deliveries
    where event_seq in (select value from json_each(@seqs))`)
  const mark = database.prepare(`
    update events set pruned_at = @now
    where event_seq in (select value from json_each(@seqs))`)
  const removeTracestates = database.prepare(`
    update events set tracestate = null
    where event_seq in (select value from json_each(@seqs)) and tracestate is not null`)
  const removeBodies = database.prepare(`
    delete from event_bodies
    where event_seq in (select value from json_each(@seqs))`)
  const countRejections = database.prepare('select count(*) from rejections where received_at < @before').pluck()
  const removeRejections = database.prepare(`
    delete from rejections
    where rejection_id in (
      select rejection_id
      from rejections
      where received_at < @before
      order by rejection_id
      limit @limit)`)

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

    remove(filter, eventSeqs, now) {
      // Asked again: an operator may have had one of them tried anew meanwhile.
      const still = database
        .prepare(`
        select e.event_seq
        from events e
        where e.event_seq in (select value from json_each(@seqs)) and ${mayGo(filter)}`)
        .pluck()
        .all({ before: filter.before, seqs: JSON.stringify(eventSeqs) }) as number[]
      const seqs = JSON.stringify(still)
      let deliveries = 0
      removeTracestates.run({ seqs })
      if (!filter.bodiesOnly) {
        removeAttempts.run({ seqs })
        deliveries = removeDeliveries.run({ seqs }).changes
        mark.run({ seqs, now })
      }
      removeBodies.run({ seqs })
      return { events: still.length, deliveries }
    },

    removeRejections: (before, limit) => removeRejections.run({ before, limit }).changes,
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
