import type { TargetSettings } from '../outbox.ts'
import type { DelayLimitStore } from './delay-limit.ts'
import type { OrderSettingsStore } from './order-settings.ts'
import type { StoppedTimeStore } from './stopped-time.ts'

/** Synchronous, in a transaction of the caller's. */
export interface TargetSettingsStore {
  /** See `Outbox.applyTargets`. */
  applyTargets(targets: readonly TargetSettings[], now: number): string[]
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
      const unordered = orders.applyOrders(targets, now)
      // Later in the others: delays are found by what is ready, which the order changes.
      const ordered = targets.filter(({ target }) => !unordered.includes(target))
      return [...unordered, ...delays.applyDelayLimits(ordered, now)]
    },
    rolledBack() {
      orders.rolledBack()
      delays.rolledBack()
    },
  }
}
