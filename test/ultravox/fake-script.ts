import type { FakeCalls } from './fake-calls.ts'
import type { HandClock } from './hand-clock.ts'

/** Something that happens to a call, so many milliseconds after the script begins. */
export interface Step {
  readonly at: number
  readonly callId: string
  readonly does: 'create' | 'join' | 'end' | 'bill' | 'delete'
}

/** Calls whose life is written down beforehand, played bit by bit. */
export class FakeScript {
  readonly #calls: FakeCalls
  readonly #clock: HandClock
  readonly #startedAt: number
  #left: readonly Step[]

  constructor(calls: FakeCalls, clock: HandClock, steps: readonly Step[]) {
    this.#calls = calls
    this.#clock = clock
    this.#startedAt = clock.now()
    this.#left = [...steps].sort((a, b) => a.at - b.at)
  }

  /** Lets what happens until then happen, each at its own time on the clock. */
  playUntil(at: number): void {
    const due = this.#left.filter((step) => step.at <= at)
    this.#left = this.#left.slice(due.length)
    for (const { at: moment, callId, does } of due) {
      this.#moveTo(moment)
      if (does === 'create') this.#calls.create({ callId })
      else this.#calls[does](callId)
    }
    this.#moveTo(at)
  }

  #moveTo(at: number): void {
    this.#clock.advance(this.#startedAt + at - this.#clock.now())
  }
}
