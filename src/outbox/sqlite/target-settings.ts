import type { TargetSettings } from '../outbox.ts'
import type { DelayLimitStore } from './delay-limit.ts'
import type { OrderSettingsStore } from './order-settings.ts'
import type { StoppedTimeStore } from './stopped-time.ts'

/** Synchronous, in a transaction of the caller's. */
export interface TargetSettingsStore {
  applyTargets(targets: readonly TargetSettings[], now: number): boolean
  /** Forgets what is kept in memory: a transaction was rolled back. */
  rolledBack(): void
}

export function createTargetSettingsStore(
  stops: StoppedTimeStore,
  orders: OrderSettingsStore,
  delays: DelayLimitStore,
): TargetSettingsStore {
  return {
    applyTargets(targets, now) {
      stops.applyStops(targets, now)
      return orders.applyOrders(targets, now) && delays.applyDelayLimits(targets, now)
    },
    rolledBack() {
      orders.rolledBack()
      delays.rolledBack()
    },
  }
}
