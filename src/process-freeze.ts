import { type Stopwatch, systemStopwatch } from './domain/clock.ts'

const EVERY_MS = 1_000
/** A busy event loop is late as well, but not by this much. */
const LATE_MS = 2_000

/**
 * Calls `onFrozen` with the milliseconds for which the process could not run: it was stopped by a signal, or its container paused.
 * The monotonic clock goes on meanwhile, unlike during a suspend of the machine.
 */
export class FreezeWatch {
  readonly #onFrozen: (ms: number) => void
  readonly #stopwatch: Stopwatch
  #timer: NodeJS.Timeout | undefined
  /** When the process was last seen to run; null while it is not watched. */
  #ranAt: number | null = null

  constructor(onFrozen: (ms: number) => void, stopwatch: Stopwatch = systemStopwatch) {
    this.#onFrozen = onFrozen
    this.#stopwatch = stopwatch
  }

  /** Reads the stopwatch. What has arrived during a freeze is handled before any timer, so the reader learns of the freeze first. */
  readonly read: Stopwatch = () => {
    const now = this.#stopwatch()
    const frozenMs = this.#ranAt === null ? 0 : now - this.#ranAt - EVERY_MS
    if (frozenMs > LATE_MS) {
      this.#ranAt = now
      this.#onFrozen(Math.floor(frozenMs))
    }
    return now
  }

  start(): void {
    this.#ranAt = this.#stopwatch()
    this.#timer = setInterval(() => {
      this.#ranAt = this.read()
    }, EVERY_MS).unref()
  }

  end(): void {
    clearInterval(this.#timer)
    this.#ranAt = null
  }
}
