import type { TargetSettings } from '../outbox.ts'
import type { DelayLimitStore } from './delay-limit.ts'
import type { StoppedTimeStore } from './stopped-time.ts'

/** Synchronous, in a transaction of the caller's. */
export interface TargetSettingsStore {
  applyTargets(targets: readonly TargetSettings[], now: number): boolean
}

export function createTargetSettingsStore(stops: StoppedTimeStore, delays: DelayLimitStore): TargetSettingsStore {
  return {
    applyTargets(targets, now) {
      stops.applyStops(targets, now)
      return delays.applyDelayLimits(targets, now)
    },
  }
}
