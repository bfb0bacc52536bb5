import type Database from 'better-sqlite3'
import { type HeldBacklog, TALLIED } from '../outbox.ts'

export interface HeldBacklogStore {
  heldBacklog(target: string): HeldBacklog | null
}

/** Dead deliveries that are looked at: a look-up each, by the thread that everything else waits for. */
const HOLDS = 1_000

export function createHeldBacklogStore(database: Database.Database): HeldBacklogStore {
  const select = database.prepare(`
    select count(*) as deliveries, count(distinct call_key) as calls, min(due_at) as since
    from (
      select h.call_key, d.due_at
      from (
        select h.call_key, min(f.event_seq) as event_seq
        from (select call_key, delivery_id from held_calls where target = @target limit ${HOLDS}) h
        join finished_deliveries f on f.delivery_id = h.delivery_id
        group by h.call_key) h
      cross join live_deliveries d on d.target = @target and d.call_key = h.call_key and d.event_seq > h.event_seq
      where d.ready = 0
      limit ${TALLIED})`)
  return {
    heldBacklog(target) {
      const { since, ...counts } = select.get({ target }) as Omit<HeldBacklog, 'since'> & { since: number | null }
      return since === null ? null : { ...counts, since }
    },
  }
}
