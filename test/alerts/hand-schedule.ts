import type { Schedule } from '../../src/alerts/schedule.ts'
import type { Clock, Stopwatch } from '../../src/domain/clock.ts'

/** Time that passes only when a test says so. */
export class HandSchedule {
  #elapsed = 0
  /** How far the wall clock has been moved away from the time that has passed. */
  #moved = Date.UTC(2026, 0, 15, 12)
  #timers: { at: number; run: () => void }[] = []

  readonly clock: Clock = { now: () => this.#moved + this.#elapsed }
  readonly stopwatch: Stopwatch = () => this.#elapsed
  readonly schedule: Schedule = (ms, run) => {
    const timer = { at: this.#elapsed + ms, run }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((each) => each !== timer)
    }
  }

  get pending(): number {
    return this.#timers.length
  }

  /** Sets the wall clock; no time passes. */
  moveClock(ms: number): void {
    this.#moved += ms
  }

  /** Lets time pass, runs what falls due, each at its moment, and lets the promises of each settle. */
  async pass(ms: number): Promise<void> {
    await settled()
    const end = this.#elapsed + ms
    for (;;) {
      const next = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0]
      if (next === undefined) break
      this.#timers = this.#timers.filter((each) => each !== next)
      this.#elapsed = next.at
      next.run()
      await settled()
    }
    this.#elapsed = end
    await settled()
  }
}

/** Lets everything run that only waits for promises. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
