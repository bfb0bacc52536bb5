/** At most `max` attempts started per `perMs` milliseconds. */
export interface RateLimit {
  readonly max: number
  readonly perMs: number
}

/** Rations the starts of attempts. All instants are epoch milliseconds. */
export interface Rate {
  /** How many attempts may start now; Infinity where nothing limits them. */
  available(now: number): number
  /** Tells of one that has started. */
  spend(now: number): void
  /** How long until the next may start, in milliseconds; 0 if one may start now. */
  waitMs(now: number): number
}

export const UNLIMITED: Rate = { available: () => Number.POSITIVE_INFINITY, spend: () => {}, waitMs: () => 0 }

/**
 * A token bucket: `max` at once after a quiet while, then evenly. It counts in whole numbers (a start costs `perMs`, each
 * millisecond brings `max`), for with fractions whoever waited exactly as long as told could still be a hair too early.
 * A clock set back only restarts the refill.
 */
export function createRate({ max, perMs }: RateLimit): Rate {
  const full = max * perMs
  let credit = full
  let refilledAt = Number.NEGATIVE_INFINITY

  function refill(now: number): void {
    const elapsed = Math.max(0, now - refilledAt)
    credit = Math.min(full, credit + elapsed * max)
    refilledAt = now
  }

  return {
    available(now) {
      refill(now)
      return Math.floor(credit / perMs)
    },
    spend(now) {
      refill(now)
      credit -= perMs
    },
    waitMs(now) {
      refill(now)
      return Math.max(0, Math.ceil((perMs - credit) / max))
    },
  }
}
