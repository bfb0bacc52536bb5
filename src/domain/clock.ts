/** The wall clock, in epoch milliseconds. Injected everywhere, so that tests can move it. */
export interface Clock {
  now(): number
}

/** The one place that reads the machine's clock. */
export const systemClock: Clock = { now: () => Date.now() }

/** Milliseconds since some moment, whatever is done to the wall clock: for how long something has lasted. */
export type Stopwatch = () => number

export const systemStopwatch: Stopwatch = () => performance.now()

/** A source of uniformly distributed numbers in [0, 1). Injected for the same reason as the clock. */
export type Random = () => number
