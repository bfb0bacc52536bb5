import { createHash } from 'node:crypto'
import type Database from 'better-sqlite3'

/** One call's deliveries to one target. */
export interface CallAtTarget {
  readonly target: string
  readonly callKey: number
}

/** Order per call: of a call's live deliveries to an ordered target, the oldest is ready and the others wait for it. */
export interface CallOrder {
  /** Whether a delivery that comes last may go at once. */
  mayGo(call: CallAtTarget): boolean
  /** If none of the call's deliveries is ready and nothing holds the oldest, it is made so. */
  promote(call: CallAtTarget): void
  /** What came after this delivery waits until `letGo`. */
  hold(call: CallAtTarget, deliveryId: number): void
  letGo(call: CallAtTarget, deliveryId: number): void
}

/** A call id as it stands in indexes: 48 bits of its hash, which a JavaScript number holds exactly. */
export function callKey(callId: string): number {
  return createHash('sha256').update(callId).digest().readUIntBE(0, 6)
}

export function createCallOrder(database: Database.Database): CallOrder {
  const unfinished = database.prepare(`
    select 1
    from live_deliveries
    where target = @target and call_key = @callKey
    limit 1`)
  const held = database.prepare('select 1 from held_calls where target = @target and call_key = @callKey limit 1')
  const promoteOldest = database.prepare(`
    update live_deliveries
    set ready = 1
    where delivery_id = (
      select delivery_id
      from live_deliveries
      where target = @target and call_key = @callKey
      order by delivery_id
      limit 1)
    and not exists (
      select 1
      from held_calls h
      where h.target = @target and h.call_key = @callKey and h.delivery_id < live_deliveries.delivery_id)
    and not exists (
      select 1
      from live_deliveries
      where target = @target and call_key = @callKey and ready = 1)`)
  const insertHold = database.prepare(`
    insert into held_calls (target, call_key, delivery_id)
    values (@target, @callKey, @deliveryId)
    on conflict do nothing`)
  const deleteHold = database.prepare(`
    delete from held_calls
    where target = @target and call_key = @callKey and delivery_id = @deliveryId`)

  return {
    mayGo: (call) => unfinished.get(call) === undefined && held.get(call) === undefined,
    promote: (call) => void promoteOldest.run(call),
    hold: (call, deliveryId) => void insertHold.run({ ...call, deliveryId }),
    letGo: (call, deliveryId) => void deleteHold.run({ ...call, deliveryId }),
  }
}
