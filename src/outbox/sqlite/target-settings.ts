import type Database from 'better-sqlite3'
import type { TargetSettings } from '../outbox.ts'
import type { CallOrder } from './call-order.ts'
import { createOrderSettings } from './order-settings.ts'

/** Synchronous, in a transaction of the caller's. */
export interface TargetSettingsStore {
  applyTargets(targets: readonly TargetSettings[], now: number): boolean
  /** Forgets what is kept in memory: a transaction was rolled back. */
  rolledBack(): void
}

export function createTargetSettingsStore(database: Database.Database, order: CallOrder): TargetSettingsStore {
  const orders = createOrderSettings(database, order)
  return {
    applyTargets: (targets, now) => orders.applyOrders(targets, now),
    rolledBack: () => orders.rolledBack(),
  }
}
