import type Database from 'better-sqlite3'
import type { CallOrderSetting, TargetSettings } from '../outbox.ts'
import { type CallOrder, callKey } from './call-order.ts'

/** A step changes this many rows at most: 3 to 6 ms. */
const CHANGED = 250
/** And reads this many at most: 1 ms. */
const READ = 2_000

/** Synchronous, in a transaction of the caller's. */
export interface OrderSettingsStore {
  /**
   * Records how these targets' calls are ordered, and brings their unfinished deliveries in line with it. Does one step, and
   * returns the targets in which there is more to do. After a crash in between, the work begins again.
   */
  applyOrders(targets: readonly OrderSetting[], now: number): string[]
  /** A transaction was rolled back, perhaps one with a step. */
  rolledBack(): void
}

type OrderSetting = Pick<TargetSettings, 'target' | 'order'>

interface Applied {
  readonly target: string
  readonly order: CallOrderSetting | null
  readonly isApplied: 0 | 1
}

interface Row {
  readonly deliveryId: number
  readonly target: string
  readonly callKey: number | null
  readonly ready: 0 | 1
  readonly callId: string | null
}

interface Hold {
  readonly target: string
  readonly callKey: number
  readonly deliveryId: number
}

/** What a step may still do. */
interface Room {
  read: number
  changed: number
}

export function createOrderSettings(database: Database.Database, order: CallOrder): OrderSettingsStore {
  const selectApplied = database.prepare(`
    select target, call_order as "order", order_applied as isApplied
    from target_states`)
  const save = database.prepare(`
    insert into target_states (target, call_order, order_applied, updated_at)
    values (@target, @order, @isApplied, @now)
    on conflict (target) do update set call_order = excluded.call_order, order_applied = excluded.order_applied`)
  const finish = database.prepare('update target_states set order_applied = 1 where target = @target')
  const holdsOf = database.prepare(`
    select target, call_key as callKey, delivery_id as deliveryId
    from held_calls
    where target = @target
    limit @limit`)
  const removeKeys = database.prepare(`
    update live_deliveries
    set call_key = null, ready = 1
    where delivery_id in (
      select delivery_id
      from live_deliveries
      where target = @target and call_key is not null
      limit @limit)`)
  const selectPage = database.prepare(`
    select count(*) as "rows", max(delivery_id) as upto
    from (
      select delivery_id
      from live_deliveries
      where delivery_id > @after
      order by delivery_id
      limit @limit)`)
  // By the row id: an index on the target would find its deliveries in an order in which they do not stay.
  const unordered = database.prepare(`
    select d.delivery_id as deliveryId, d.target, d.call_key as callKey, d.ready, e.call_id as callId
    from live_deliveries d
    join events e on e.event_seq = d.event_seq
    where d.delivery_id > @after and d.delivery_id <= @upto
      and +d.target = @target
      and e.call_id is not null
      and (d.call_key is null or d.ready = 1)
    order by d.delivery_id
    limit @limit`)
  const setKey = database.prepare(`
    update live_deliveries
    set call_key = @callKey, ready = @ready
    where delivery_id = @deliveryId`)

  /** Targets that were ordered before: their deliveries have call keys, and only holds are to be ended. */
  const keyed = new Set<string>()
  /** How far the deliveries of these targets have been given call keys, as delivery ids. */
  const passes = new Map<string, number>()
  /** The target to which the last step came last. */
  let last = ''

  /** Records what has changed. */
  function record(targets: readonly OrderSetting[], now: number): void {
    const before = new Map((selectApplied.all() as Applied[]).map((state) => [state.target, state]))
    for (const { target, order: setting } of targets) {
      const { order: old = null, isApplied = 0 } = before.get(target) ?? {}
      if (old === setting) continue
      const isKeyed = isApplied === 1 && old !== null && old !== 'none' && setting !== 'none'
      if (isKeyed) keyed.add(target)
      else keyed.delete(target)
      // What is dead already does not begin to hold its call.
      save.run({ target, order: setting, isApplied: isKeyed && setting === 'hold' ? 1 : 0, now })
      passes.delete(target)
      order.forgetOrders()
    }
  }

  /** Ends the holds at a target whose dead deliveries no longer hold, as far as there is room. */
  function release(target: string, room: Room): void {
    const holds = holdsOf.all({ target, limit: room.changed }) as Hold[]
    for (const { deliveryId, ...call } of holds) {
      order.letGo(call, deliveryId)
      order.promote(call)
    }
    room.changed -= holds.length
  }

  /** Removes the call keys, as far as there is room. */
  function removeOrder(target: string, room: Room): void {
    room.changed -= removeKeys.run({ target, limit: room.changed }).changes
  }

  /** Gives call keys to what has none, as far as there is room. New deliveries have theirs: one pass is enough. */
  function giveOrder(target: string, room: Room): void {
    const after = passes.get(target) ?? 0
    const page = selectPage.get({ after, limit: room.read }) as { rows: number; upto: number | null }
    room.read -= page.rows
    if (page.upto === null) return
    const rows = unordered.all({ after, upto: page.upto, target, limit: room.changed }) as Row[]
    room.changed -= rows.length
    for (const { deliveryId, callKey: key, callId } of rows) {
      const call = { target, callKey: key ?? callKey(callId!) }
      const isFirst = order.mayGo(call)
      setKey.run({ deliveryId, callKey: call.callKey, ready: isFirst ? 1 : 0 })
      if (!isFirst) order.reorder(call)
    }
    passes.set(target, room.changed === 0 ? rows.at(-1)!.deliveryId : page.upto)
  }

  /** Whether all deliveries of the target follow its setting. That is known only while there is room. */
  function align({ target, order: setting }: Applied, room: Room): boolean {
    if (setting !== 'hold') release(target, room)
    if (setting === 'none' && room.changed > 0) removeOrder(target, room)
    if (setting !== 'none' && !keyed.has(target) && room.changed > 0) giveOrder(target, room)
    return room.changed > 0 && room.read > 0
  }

  return {
    rolledBack() {
      keyed.clear()
      passes.clear()
      order.forgetOrders()
    },

    applyOrders(targets, now) {
      record(targets, now)
      const configured = new Set(targets.map(({ target }) => target))
      const open = (selectApplied.all() as Applied[]).filter((one) => one.isApplied === 0 && configured.has(one.target))
      // In turn: many deliveries of one target do not keep the others waiting.
      const next = open.findIndex(({ target }) => target === last) + 1
      const unfinished = [...open.slice(next), ...open.slice(0, next)]
      const room: Room = { read: READ, changed: CHANGED }
      while (unfinished.length > 0) {
        last = unfinished[0]!.target
        if (!align(unfinished[0]!, room)) break
        finish.run({ target: last })
        passes.delete(last)
        unfinished.shift()
      }
      return unfinished.map(({ target }) => target)
    },
  }
}
