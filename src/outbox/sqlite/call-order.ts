import { createHash } from 'node:crypto'
import type Database from 'better-sqlite3'
import type { CallOrderSetting } from '../outbox.ts'

/** One call's deliveries to one target. */
export interface CallAtTarget {
  readonly target: string
  readonly callKey: number
}

/**
 * Order per call. Of a call's live deliveries to an ordered target, at most one is ready: that of the oldest event, unless a dead
 * one of an older event holds the call. All others wait.
 */
export interface CallOrder {
  /** How the target's calls are ordered by the configuration last applied; null if none has been applied. */
  orderOf(target: string): CallOrderSetting | null
  /**
   * The key by which a delivery of this call is ordered, or null if it is not. `fallback`: whether the target is ordered, if
   * that is not on record.
   */
  keyOf(target: string, callId: string | null, fallback: boolean): number | null
  /** Whether the delivery of a new event is ready. */
  mayGo(call: CallAtTarget): boolean
  /** Makes the delivery ready whose turn it is. Called after one has ended, or no longer holds the call. */
  promote(call: CallAtTarget): void
  /** The same after a delivery was added that may go before the one that has been ready; aligns the call's urgency. */
  reorder(call: CallAtTarget): void
  /**
   * Makes all deliveries of the call live if one of them is: a live delivery must not wait for earlier ones of its call that wait
   * for everything in the background. Called after each change that adds a delivery to a call.
   */
  alignUrgency(call: CallAtTarget): void
  /** What came after this delivery waits until `letGo`. */
  hold(call: CallAtTarget, deliveryId: number): void
  letGo(call: CallAtTarget, deliveryId: number): void
  /** Reads the settings of targets again: they were changed, or a change was rolled back. */
  forgetOrders(): void
}

/** A call id as it stands in indexes: 48 bits of its hash, which a JavaScript number holds exactly. */
export function callKey(callId: string): number {
  return createHash('sha256').update(callId).digest().readUIntBE(0, 6)
}

/** `keepsOrders`: caches the settings of targets. For the daemon's thread, which alone changes them; commands read them each time. */
export function createCallOrder(database: Database.Database, keepsOrders = false): CallOrder {
  const selectOrder = database.prepare('select call_order from target_states where target = ?').pluck()
  const kept = new Map<string, CallOrderSetting | null>()
  const unfinished = database.prepare(`
    select 1
    from live_deliveries
    where target = @target and call_key = @callKey
    limit 1`)
  const held = database.prepare(`
    select 1
    from held_calls h
    join finished_deliveries f on f.delivery_id = h.delivery_id
    where h.target = @target and h.call_key = @callKey
    limit 1`)
  const promoteOldest = database.prepare(`
    update live_deliveries
    set ready = 1
    where delivery_id = (
      select delivery_id
      from live_deliveries
      where target = @target and call_key = @callKey
      order by event_seq
      limit 1)
    and ready = 0
    and not exists (
      select 1
      from held_calls h
      join finished_deliveries f on f.delivery_id = h.delivery_id
      where h.target = @target and h.call_key = @callKey and f.event_seq < live_deliveries.event_seq)`)
  // Only the first or the second can have been ready, so that a call with many deliveries is not read as a whole.
  const suspendSecond = database.prepare(`
    update live_deliveries
    set ready = 0
    where delivery_id = (
      select delivery_id
      from live_deliveries
      where target = @target and call_key = @callKey
      order by event_seq
      limit 1 offset 1)
    and ready = 1`)
  const align = database.prepare(`
    update live_deliveries
    set background = 0
    where target = @target and call_key = @callKey and background = 1
    and exists (
      select 1
      from live_deliveries
      where target = @target and call_key = @callKey and background = 0)`)
  const insertHold = database.prepare(`
    insert into held_calls (target, call_key, delivery_id)
    values (@target, @callKey, @deliveryId)
    on conflict do nothing`)
  const deleteHold = database.prepare(`
    delete from held_calls
    where target = @target and call_key = @callKey and delivery_id = @deliveryId`)

  function orderOf(target: string): CallOrderSetting | null {
    let order = kept.get(target)
    if (order === undefined) {
      order = (selectOrder.get(target) as CallOrderSetting | null | undefined) ?? null
      if (keepsOrders) kept.set(target, order)
    }
    return order
  }

  return {
    orderOf,
    keyOf(target, callId, fallback) {
      if (callId === null) return null
      const order = orderOf(target)
      return (order === null ? fallback : order !== 'none') ? callKey(callId) : null
    },
    mayGo: (call) => unfinished.get(call) === undefined && held.get(call) === undefined,
    promote: (call) => void promoteOldest.run(call),
    reorder(call) {
      suspendSecond.run(call)
      promoteOldest.run(call)
      align.run(call)
    },
    alignUrgency: (call) => void align.run(call),
    hold: (call, deliveryId) => void insertHold.run({ ...call, deliveryId }),
    letGo: (call, deliveryId) => void deleteHold.run({ ...call, deliveryId }),
    forgetOrders: () => kept.clear(),
  }
}
