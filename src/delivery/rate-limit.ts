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

/** A token bucket: `max` at once after a quiet while, then evenly. A clock set back only restarts the refill. */
export function createRate({ max, perMs }: RateLimit): Rate {
  let tokens = max
  let refilledAt = Number.NEGATIVE_INFINITY

  function refill(now: number): void {
    const elapsed = now - refilledAt
    if (elapsed > 0) tokens = Math.min(max, tokens + (elapsed * max) / perMs)
    refilledAt = now
  }

  return {
    available(now) {
      refill(now)
      return Math.floor(tokens)
    },
    spend(now) {
      refill(now)
      tokens -= 1
    },
    waitMs(now) {
      refill(now)
      return tokens >= 1 ? 0 : Math.ceil(((1 - tokens) * perMs) / max)
    },
  }
}
