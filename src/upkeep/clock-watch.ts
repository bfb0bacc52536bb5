import type { Watch } from '../alerts/watches.ts'
import { type ClockHold, type ClockReading, CONFIRMED_AFTER_MS } from '../domain/clock-trust.ts'
import type { RetentionStore } from '../outbox/retention.ts'

/** How soon a clock that was set is noticed, besides before each step of retention. */
const EVERY_MS = 10_000

export interface ClockWatchOptions {
  readonly store: Pick<RetentionStore, 'observeClock' | 'prune'>
  readonly read: () => ClockReading
  readonly log: ClockLog
}

export interface ClockLog {
  /** Nothing is deleted for its age from now on. */
  retentionHeld(hold: ClockHold, confirmedAfterMs: number): void
  retentionResumed(): void
}

/** Reads the clock for the outbox and logs when it stops and starts to be believed. */
export class ClockWatch {
  readonly #options: ClockWatchOptions
  #isHeld = false

  constructor(options: ClockWatchOptions) {
    this.#options = options
  }

  /** Prunes by a clock that was read just before, and only as far as that is believed. */
  readonly prune: RetentionStore['prune'] = async (policy) => {
    const reading = await this.#observe()
    return this.#options.store.prune(policy, reading.wallMs)
  }

  watch(): Watch {
    return { name: 'clock', everyMs: EVERY_MS, check: async () => void (await this.#observe()) }
  }

  async #observe(): Promise<ClockReading> {
    const { store, read, log } = this.#options
    const reading = read()
    const { hold } = await store.observeClock(reading)
    if (hold !== null && !this.#isHeld) log.retentionHeld(hold, CONFIRMED_AFTER_MS)
    if (hold === null && this.#isHeld) log.retentionResumed()
    this.#isHeld = hold !== null
    return reading
  }
}
