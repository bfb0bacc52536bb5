import rateLimit, { type FastifyRateLimitStore } from '@fastify/rate-limit'
import type { FastifyInstance, FastifyRequest } from 'fastify'

/** How many rejected requests a network may send in a period. */
export interface RejectionLimit {
  readonly maxRefused: number
  readonly perMs: number
}

/** Counts rejected requests by network. Both return how many seconds the network is limited for, or 0 if it is not. */
export interface RejectionLimiter {
  /** Counts a rejected request. */
  count(request: FastifyRequest): Promise<number>
  /** Whether the network may send another request. */
  limitedSeconds(request: FastifyRequest): Promise<number>
}

/** The limiter of an app, over windows that outlive it. */
export async function createRejectionLimiter(
  app: FastifyInstance,
  { maxRefused, perMs }: RejectionLimit,
  windows: RejectionWindows,
): Promise<RejectionLimiter> {
  // The plugin constructs its store: this one constructor gives every app the same.
  const store = function SharedWindows() {
    return windows
  } as unknown as new () => RejectionWindows
  await app.register(rateLimit, { global: false, store, keyGenerator: (request) => request.relayPeer.network })
  const limiter = app.createRateLimit({ max: maxRefused, timeWindow: perMs })
  return {
    async count(request) {
      const limit = await limiter(request)
      return !limit.isAllowed && limit.isExceeded ? limit.ttlInSeconds : 0
    },
    async limitedSeconds(request) {
      const limit = await limiter(request, { increment: false })
      return !limit.isAllowed && limit.remaining === 0 ? limit.ttlInSeconds : 0
    },
  }
}

interface Window {
  count: number
  readonly startedAt: number
}

/** Bounds memory, at some 150 bytes each. Beyond it the oldest windows are forgotten. */
const MOST_NETWORKS = 50_000

/**
 * Fixed windows of rejected requests by network: the store of `@fastify/rate-limit`, whose own belongs to one app and would
 * be lost with each reload. The limits come with each call, and apply to the windows that have begun.
 */
export class RejectionWindows implements FastifyRateLimitStore {
  /** The window that began first comes first. */
  readonly #windows = new Map<string, Window>()
  readonly #now: () => number

  /** `now`: a steady clock in ms. */
  constructor(now = () => performance.now()) {
    this.#now = now
  }

  incr(network: string, callback: StoreCallback, perMs = 0): void {
    const window = this.#windowOf(network, perMs) ?? this.#begin(network)
    window.count += 1
    callback(null, { current: window.count, ttl: this.#remainingMs(window, perMs) })
  }

  read(network: string, callback: StoreCallback, perMs = 0): void {
    const window = this.#windowOf(network, perMs)
    callback(null, { current: window?.count ?? 0, ttl: window === undefined ? 0 : this.#remainingMs(window, perMs) })
  }

  child(): RejectionWindows {
    return this
  }

  #windowOf(network: string, perMs: number): Window | undefined {
    const window = this.#windows.get(network)
    return window !== undefined && this.#remainingMs(window, perMs) > 0 ? window : undefined
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

  #remainingMs({ startedAt }: Window, perMs: number): number {
    return startedAt + perMs - this.#now()
  }
}

type StoreCallback = (error: Error | null, result?: { current: number; ttl: number }) => void
