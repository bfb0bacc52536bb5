import type Database from 'better-sqlite3'
import type { TargetSettings } from '../outbox.ts'

/** Synchronous, in a transaction of the caller's. */
export interface TargetSettingsStore {
  applyTargets(targets: readonly TargetSettings[], now: number): boolean
}

export function createTargetSettingsStore(_database: Database.Database): TargetSettingsStore {
  return {
    applyTargets: () => true,
  }
}
