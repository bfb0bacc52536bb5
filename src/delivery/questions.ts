import type { Clock } from '../domain/clock.ts'

/** Keeps in mind which questions are not answered yet, and since when. */
export class Questions {
  readonly #clock: Clock
  /** Oldest first. */
  readonly #open = new Set<{ readonly since: number }>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** What `answer` comes to; until then the question is open. */
  async ask<T>(answer: Promise<T>): Promise<T> {
    const question = { since: this.#clock.now() }
    this.#open.add(question)
    try {
      return await answer
    } finally {
      this.#open.delete(question)
    }
  }

  /** For how long the oldest has been open; 0 where none is. */
  openMs(now: number): number {
    const [oldest] = this.#open
    return oldest === undefined ? 0 : now - oldest.since
  }
}
