import type { Clock } from '../../src/domain/clock.ts'

/** A clock that moves only when it is told to. */
export class HandClock implements Clock {
  #now = Date.UTC(2026, 0, 15, 12)

  now(): number {
    return this.#now
  }

  advance(ms: number): void {
    this.#now += ms
  }
}
