import type Database from 'better-sqlite3'
import { CLAIM_WAITS_MS } from '../../domain/backoff.ts'
import { stoppedMsOf } from './stopped-time.ts'

export interface ClaimTimesStore {
  /** What a claim has to know of its target; one look-up, whatever the number of deliveries. */
  claimTimes(target: string, now: number): ClaimTimes
}

export interface ClaimTimes {
  /** For how long nothing could be tried. */
  readonly stoppedMs: number
  /** The latest instant to which deliveries may have been put off; null if no limit has been applied. */
  readonly latest: number | null
}

export function createClaimTimesStore(database: Database.Database): ClaimTimesStore {
  const select = database.prepare(`
    select ${stoppedMsOf('@target', '@now')} as stoppedMs,
      (select @now + max_delay_ms from target_states where target = @target) as latest`)
  return {
    claimTimes(target, now) {
      const { stoppedMs, latest } = select.get({ target, now }) as ClaimTimes
      return { stoppedMs, latest: latest === null ? null : latest + CLAIM_WAITS_MS }
    },
  }
}
