import type { Clock } from './clock.ts'

/** By how much it runs slower than real time while it is ahead of the wall clock. Less than the usual jitter. */
const SLEW = 0.1

/**
 * A clock to wait by: it never goes back, and a wall clock that is set back does not stop it. Ahead of the wall clock, it
 * runs a tenth slower until the two agree again, so a pause of five seconds stays one of about five seconds when
 * somebody sets the time back by an hour. A step forward is taken at once: after a suspend it is the truth, and what
 * then is due all at once goes out at each lane's own pace.
 * `monotonic`: milliseconds since whenever, never going back.
 */
export function createSteadyClock(wall: Clock, monotonic: () => number): Clock {
  let steady = wall.now()
  let last = monotonic()
  return {
    now() {
      const elapsed = Math.max(0, monotonic() - last)
      last += elapsed
      steady = Math.max(wall.now(), steady + elapsed * (1 - SLEW))
      return Math.floor(steady)
    },
  }
}
