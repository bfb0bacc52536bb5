import type Database from 'better-sqlite3'
import type { CallAtTarget } from './call-order.ts'

/**
 * Makes all deliveries of an ordered call live if one of them is: a live delivery must not wait for earlier ones of its call that
 * wait for everything in the background. Called after each change that adds a delivery to a call; synchronous, in a transaction
 * of the caller's.
 */
export type AlignUrgency = (call: CallAtTarget) => void

export function createUrgency(database: Database.Database): AlignUrgency {
  const align = database.prepare(`
    update live_deliveries
    set background = 0
    where target = @target and call_key = @callKey and background = 1
    and exists (
      select 1
      from live_deliveries
      where target = @target and call_key = @callKey and background = 0)`)
  return (call) => void align.run(call)
}
