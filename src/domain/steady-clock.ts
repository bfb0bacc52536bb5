import type { Clock } from './clock.ts'

/** By how much it runs slower than real time while it is ahead of the wall clock. Less than the usual jitter. */
const SLEW = 0.1

/** A larger step forward is time in which the process did not run, or a clock that was set. */
const STEP_MS = 1_000

/**
 * A clock to wait by: it never goes back, and a wall clock that is set back does not stop it. Ahead of the wall clock, it
 * runs a tenth slower until the two agree again, so a pause of five seconds stays one of about five seconds when
 * somebody sets the time back by an hour. A step forward is taken at once: after a suspend it is the truth, and what
 * then is due all at once goes out at each lane's own pace.
 * `monotonic`: milliseconds since whenever, never going back. `onSkip`: called with each step forward, in milliseconds, before
 * the clock is read past it.
 */
export function createSteadyClock(wall: Clock, monotonic: () => number, onSkip?: (ms: number) => void): Clock {
  let steady = wall.now()
  let last = monotonic()
  return {
    now() {
      const elapsed = Math.max(0, monotonic() - last)
      last += elapsed
      const time = wall.now()
      const skippedMs = time - (steady + elapsed)
      steady = Math.max(time, steady + elapsed * (1 - SLEW))
      if (skippedMs > STEP_MS) onSkip?.(Math.floor(skippedMs))
      return Math.floor(steady)
    },
  }
}
