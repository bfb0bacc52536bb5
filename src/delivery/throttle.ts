import { baseDelayMs, type RetryPolicy } from '../domain/backoff.ts'
import type { SavedThrottle } from '../outbox/outbox.ts'

/** What an attempt that has started needs to know once it ends: the hold after which it began. */
export type ThrottleTurn = number

/**
 * A target's request to be sent nothing for a while, shared by all lanes of its name. After the hold, one attempt goes first; each
 * attempt that is not throttled then lets one more run at once. Attempts that began before the hold are not among these.
 */
export class Throttle {
  /** Nothing is sent before this instant (epoch milliseconds). */
  #until = 0
  /** Throttled attempts in a row; those that began before the last hold tell nothing new. */
  #inARow = 0
  /** Attempts that may run at once. */
  #limit = Number.POSITIVE_INFINITY
  /** Counts holds. */
  #turn: ThrottleTurn = 0
  /** Attempts under way that began after the last hold. */
  #running = 0

  /** Whether it restricts nothing. */
  get isFree(): boolean {
    return this.#limit === Number.POSITIVE_INFINITY
  }

  /** What a restart has to know; null where the target has asked for no pause since it last answered otherwise. */
  get saved(): SavedThrottle | null {
    return this.#until === 0 ? null : { until: this.#until, inARow: this.#inARow }
  }

  /** How long nothing may be sent, in milliseconds: at most `maxDelayMs`, also if the clock was set back. */
  remainingMs(now: number, maxDelayMs: number): number {
    this.#until = Math.min(this.#until, now + maxDelayMs)
    return Math.max(0, this.#until - now)
  }

  /** How many more attempts may start now, with this many reserved. */
  allowed(now: number, reserved: number): number {
    if (this.isFree) return this.#limit
    return now < this.#until ? 0 : Math.max(0, this.#limit - this.#running - reserved)
  }

  started(): ThrottleTurn {
    this.#running++
    return this.#turn
  }

  /** An attempt has ended, in whatever way. */
  ended(turn: ThrottleTurn): void {
    if (turn === this.#turn) this.#running--
  }

  /**
   * The target asked for a pause of this length; undefined: it is throttled and gave no hint. Returns until when nothing is sent.
   * `isThrottled`: the answer was 429.
   */
  hold(
    turn: ThrottleTurn,
    askedMs: number | undefined,
    isThrottled: boolean,
    policy: RetryPolicy,
    now: number,
  ): number {
    if (turn === this.#turn) {
      this.#inARow = isThrottled ? this.#inARow + 1 : 0
      this.#turn++
      this.#running = 0
    }
    this.#limit = 1
    const waitMs = Math.min(askedMs ?? baseDelayMs(policy, Math.max(1, this.#inARow)), policy.maxDelayMs)
    this.#until = Math.max(this.#until, now + waitMs)
    return this.#until
  }

  /** The target answered without asking for a pause. Returns whether that ended the throttle. */
  passed(turn: ThrottleTurn, concurrency: number): boolean {
    if (this.isFree || turn !== this.#turn) return false
    const isFirst = this.#limit === 1
    this.#inARow = 0
    this.#until = 0
    this.#limit = this.#limit + 1 >= concurrency ? Number.POSITIVE_INFINITY : this.#limit + 1
    return isFirst
  }

  /** Takes up the throttle of the last run, for no longer than `maxDelayMs` from now. */
  restore({ until, inARow }: SavedThrottle, now: number, maxDelayMs: number): void {
    if (until <= now) return
    this.#until = Math.min(until, now + maxDelayMs)
    this.#inARow = inARow
    this.#limit = 1
  }

  /** Ends it: the target is another one now. Returns whether it restricted anything. */
  lift(): boolean {
    const wasFree = this.isFree
    this.#until = 0
    this.#inARow = 0
    this.#limit = Number.POSITIVE_INFINITY
    this.#turn++
    this.#running = 0
    return !wasFree
  }
}
