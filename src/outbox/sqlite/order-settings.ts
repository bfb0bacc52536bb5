import type Database from 'better-sqlite3'
import type { CallOrderSetting, TargetSettings } from '../outbox.ts'
import { type CallOrder, callKey } from './call-order.ts'
import { createUrgency } from './urgency.ts'

/** A step changes this many rows at most: 3 to 6 ms. */
const CHANGED = 250
/** And reads this many at most: 1 ms. */
const READ = 2_000

/** Synchronous, in a transaction of the caller's. */
export interface OrderSettingsStore {
  /**
   * Records how these targets' calls are ordered, and brings their unfinished deliveries in line with it. Does one step: false
   * means that there is more to do. After a crash in between, the work begins again.
   */
  applyOrders(targets: readonly OrderSetting[], now: number): boolean
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

const START = { targets: '', after: 0 }

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
  const endOfRead = database
    .prepare(`
    select max(delivery_id)
    from (
      select delivery_id
      from live_deliveries
      where delivery_id > @after
      order by delivery_id
      limit ${READ})`)
    .pluck()
  // By the row id: an index on the target would find its deliveries in an order in which they do not stay.
  const unordered = database.prepare(`
    select d.delivery_id as deliveryId, d.target, d.call_key as callKey, d.ready, e.call_id as callId
    from live_deliveries d
    join events e on e.event_seq = d.event_seq
    where d.delivery_id > @after and d.delivery_id <= @upto
      and +d.target in (select value from json_each(@targets))
      and e.call_id is not null
      and (d.call_key is null or d.ready = 1)
    order by d.delivery_id
    limit @limit`)
  const setKey = database.prepare(`
    update live_deliveries
    set call_key = @callKey, ready = @ready
    where delivery_id = @deliveryId`)

  const alignUrgency = createUrgency(database)

  /** Targets that were ordered before: their deliveries have call keys, and only holds are to be ended. */
  const keyed = new Set<string>()
  /** How far the deliveries of these targets have been given call keys. */
  let pass = START

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
      pass = START
      order.forgetOrders()
    }
  }

  /** Ends up to `limit` holds at targets whose dead deliveries no longer hold; returns how many. */
  function release(targets: readonly string[], limit: number): number {
    let released = 0
    for (const target of targets) {
      for (const { deliveryId, ...call } of holdsOf.all({ target, limit: limit - released }) as Hold[]) {
        order.letGo(call, deliveryId)
        order.promote(call)
        released += 1
      }
      if (released === limit) break
    }
    return released
  }

  /** Removes up to `limit` call keys; returns how many. */
  function removeOrder(targets: readonly string[], limit: number): number {
    let changed = 0
    for (const target of targets) {
      changed += removeKeys.run({ target, limit: limit - changed }).changes
      if (changed === limit) break
    }
    return changed
  }

  /** Gives call keys to what has none; false means that there is more to do. New deliveries have theirs: one pass is enough. */
  function giveOrder(names: readonly string[]): boolean {
    const targets = JSON.stringify(names)
    if (pass.targets !== targets) pass = { targets, after: 0 }
    const upto = endOfRead.get({ after: pass.after }) as number | null
    if (upto === null) return true
    const rows = unordered.all({ after: pass.after, upto, targets, limit: CHANGED }) as Row[]
    for (const { deliveryId, target, callKey: key, callId } of rows) {
      const call = { target, callKey: key ?? callKey(callId!) }
      const isFirst = order.mayGo(call)
      setKey.run({ deliveryId, callKey: call.callKey, ready: isFirst ? 1 : 0 })
      if (isFirst) continue
      order.reorder(call)
      alignUrgency(call)
    }
    pass = { targets, after: rows.length === CHANGED ? rows.at(-1)!.deliveryId : upto }
    return false
  }

  return {
    rolledBack() {
      keyed.clear()
      pass = START
      order.forgetOrders()
    },

    applyOrders(targets, now) {
      record(targets, now)
      const configured = new Set(targets.map(({ target }) => target))
      const open = (selectApplied.all() as Applied[]).filter((one) => one.isApplied === 0 && configured.has(one.target))
      if (open.length === 0) return true
      const named = (which: (one: Applied) => boolean) => open.filter(which).map(({ target }) => target)
      const withoutHold = named((one) => one.order !== 'hold')
      const withoutOrder = named((one) => one.order === 'none')
      if (release(withoutHold, CHANGED) === CHANGED || removeOrder(withoutOrder, CHANGED) === CHANGED) return false
      const unkeyed = named((one) => one.order !== 'none' && !keyed.has(one.target))
      if (unkeyed.length > 0 && !giveOrder(unkeyed)) return false
      for (const { target } of open) finish.run({ target })
      return true
    },
  }
}
