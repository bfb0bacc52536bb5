import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '../domain/clock.ts'
import { createRate, type Rate } from '../domain/rate-limit.ts'
import type { Secret } from '../domain/secret.ts'
import { secretFingerprint } from '../domain/secret-fingerprint.ts'

/** Waits; rejects with the signal's reason when that aborts. Injected, so that tests need not. */
export type Pause = (ms: number, signal: AbortSignal) => Promise<void>

export const realPause: Pause = (ms, signal) => sleep(ms, undefined, { signal })

/** Rations the requests made with one API key. */
export class RequestGate {
  #rate: Rate
  #perSecond: number
  #closedUntil = Number.NEGATIVE_INFINITY
  #closedForMs = 0

  constructor(perSecond: number) {
    this.#perSecond = perSecond
    this.#rate = createRate({ max: perSecond, perMs: 1_000 })
  }

  /** Changes the rate; unchanged, what has been used of it stays used. */
  allow(perSecond: number): void {
    if (perSecond === this.#perSecond) return
    this.#perSecond = perSecond
    this.#rate = createRate({ max: perSecond, perMs: 1_000 })
  }

  /** Resolves when a request may start, and counts it. Rejects as `pause` does. */
  async pass(clock: Clock, pause: Pause, signal: AbortSignal): Promise<void> {
    // Another may have come first during the wait.
    for (let wait = this.#waitMs(clock.now()); wait > 0; wait = this.#waitMs(clock.now())) await pause(wait, signal)
    this.#rate.spend(clock.now())
  }

  /** Starts no request for this long, as the provider asked. */
  close(ms: number, clock: Clock): void {
    const now = clock.now()
    if (now + ms <= this.#closedUntil) return
    this.#closedUntil = now + ms
    this.#closedForMs = ms
  }

  #waitMs(now: number): number {
    // A clock that was set back must not lengthen the wait.
    this.#closedUntil = Math.min(this.#closedUntil, now + this.#closedForMs)
    return Math.max(this.#rate.waitMs(now), this.#closedUntil - now)
  }
}

/** The gates of a process. The provider counts requests by key, so all users of a key share one. */
export class RequestGates {
  readonly #gates = new Map<string, RequestGate>()

  of(origin: string, apiKey: Secret, perSecond: number): RequestGate {
    const name = `${origin} ${secretFingerprint(apiKey)}`
    const gate = this.#gates.get(name) ?? new RequestGate(perSecond)
    gate.allow(perSecond)
    this.#gates.set(name, gate)
    return gate
  }
}
