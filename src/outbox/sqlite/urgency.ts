import type Database from 'better-sqlite3'
import type { CallAtTarget } from './call-order.ts'

/**
 * Which deliveries are live, and which are in the background: added by an operator or by reconciliation, perhaps thousands at
 * once. In an ordered call, what a live delivery waits for is live as well: it would else wait for all that is in the background.
 * Synchronous, in a transaction of the caller's.
 */
export interface Urgency {
  /** What a delivery is that an operator or reconciliation adds: 1 for the background, 0 where a live one would wait for it. */
  backgroundOf(call: CallAtTarget | null): 0 | 1
  /** A live delivery of the call has been added. */
  addedLive(call: CallAtTarget): void
}

export function createUrgency(database: Database.Database): Urgency {
  const liveOf = database.prepare(`
    select 1
    from live_deliveries
    where target = @target and call_key = @callKey and background = 0
    limit 1`)
  const makeLive = database.prepare(`
    update live_deliveries
    set background = 0
    where target = @target and call_key = @callKey and background = 1`)

  return {
    backgroundOf: (call) => (call === null || liveOf.get(call) === undefined ? 1 : 0),
    addedLive: (call) => void makeLive.run(call),
  }
}
