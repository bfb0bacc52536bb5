import type Database from 'better-sqlite3'
import { TALLIED, type Tally } from '../outbox.ts'

export interface TallyStore {
  tally(targets: readonly string[], now: number): Tally
}

/** Counts that stop at a limit. It is asked for every few seconds, by the thread that everything else waits for. */
export function createTallyStore(database: Database.Database): TallyStore {
  // A cross join keeps the order: for each target its part of the index, so that what is due later is not read. What is later
  // in a held call than the dead delivery is not ready.
  const counts = database.prepare(`
    select
      (select count(*) from (
        select 1
        from json_each(@targets) as names
        cross join live_deliveries as d on d.target = names.value
        where d.ready = 1 and d.due_at <= @now
        limit ${TALLIED})) as due,
      (select count(*) from (
        select 1
        from (
          select h.target, h.call_key, h.delivery_id
          from json_each(@targets) as names
          cross join held_calls h on h.target = names.value
          limit ${TALLIED}) h
        cross join finished_deliveries f on f.delivery_id = h.delivery_id
        cross join live_deliveries d on d.target = h.target and d.call_key = h.call_key and d.event_seq > f.event_seq
        limit ${TALLIED})) as held,
      (select count(*) from (
        select 1
        from finished_deliveries
        where state = 'dead'
        limit ${TALLIED})) as dead`)
  return {
    tally: (targets, now) => counts.get({ targets: JSON.stringify(targets), now }) as Tally,
  }
}
