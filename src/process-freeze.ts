import { type Stopwatch, systemStopwatch } from './domain/clock.ts'

const EVERY_MS = 1_000
/** A busy event loop is late as well, but not by this much. */
const LATE_MS = 2_000

/**
 * Calls `onFrozen` with the milliseconds for which the process could not run: it was stopped by a signal, or its container paused.
 * The monotonic clock goes on meanwhile, unlike during a suspend of the machine. Returns what ends the watch.
 */
export function watchFreezes(onFrozen: (ms: number) => void, stopwatch: Stopwatch = systemStopwatch): () => void {
  let last = stopwatch()
  const timer = setInterval(() => {
    const now = stopwatch()
    const frozenMs = now - last - EVERY_MS
    last = now
    if (frozenMs > LATE_MS) onFrozen(Math.floor(frozenMs))
  }, EVERY_MS).unref()
  return () => clearInterval(timer)
}
