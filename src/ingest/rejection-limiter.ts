/** How many rejected requests a network may send in a period. */
export interface RejectionLimit {
  readonly maxRefused: number
  readonly perMs: number
}

interface Window {
  count: number
  readonly startedAt: number
}

/** Bounds memory, at some 150 bytes each. Beyond it the oldest windows are forgotten. */
const MOST_NETWORKS = 50_000

/**
 * Counts rejected requests by network in fixed windows. It outlives a reload: the limits are given with each call, and apply to
 * the windows that have begun.
 */
export class RejectionLimiter {
  /** The window that began first comes first. */
  readonly #windows = new Map<string, Window>()
  readonly #now: () => number

  /** `now`: a steady clock in ms. */
  constructor(now = () => performance.now()) {
    this.#now = now
  }

  /** Counts a rejected request; returns how many ms the network is limited for, or 0 if it is not. */
  count(network: string, limit: RejectionLimit): number {
    const window = this.#windowOf(network, limit) ?? this.#begin(network)
    window.count += 1
    return window.count > limit.maxRefused ? this.#remainingMs(window, limit) : 0
  }

  /** Returns how many ms the network is limited for, or 0 if it may send another request. */
  limitedMs(network: string, limit: RejectionLimit): number {
    const window = this.#windowOf(network, limit)
    return window !== undefined && window.count >= limit.maxRefused ? this.#remainingMs(window, limit) : 0
  }

  #windowOf(network: string, limit: RejectionLimit): Window | undefined {
    const window = this.#windows.get(network)
    return window !== undefined && this.#remainingMs(window, limit) > 0 ? window : undefined
  }

  #begin(network: string): Window {
    const window = { count: 0, startedAt: this.#now() }
    this.#windows.delete(network)
    this.#windows.set(network, window)
    if (this.#windows.size > MOST_NETWORKS) {
      for (const oldest of this.#windows.keys()) {
        this.#windows.delete(oldest)
        break
      }
    }
    return window
  }

  #remainingMs({ startedAt }: Window, { perMs }: RejectionLimit): number {
    return startedAt + perMs - this.#now()
  }
}
