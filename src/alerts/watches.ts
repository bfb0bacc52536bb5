import type { Schedule } from './schedule.ts'

/** Something that is looked at from time to time. */
export interface Watch {
  readonly name: string
  readonly everyMs: number
  check(): void | Promise<void>
}

/** The longest time from one look to the next. */
const LONGEST_MS = 60_000

/** How often to look for what is to be told after `ms`: soon enough after it, and never in a tight loop. */
export function intervalFor(ms: number): number {
  return Math.min(LONGEST_MS, Math.max(100, ms / 4))
}

/**
 * Looks at each at once and then time and again, never twice at the same time. A check that fails is told of and made
 * again. What is returned ends it, and resolves when no check runs any more.
 */
export function startWatches(
  watches: readonly Watch[],
  schedule: Schedule,
  onError: (watch: string, error: unknown) => void,
): () => Promise<void> {
  const stops = watches.map((watch) => startWatch(watch, schedule, onError))
  return async () => void (await Promise.all(stops.map((stop) => stop())))
}

function startWatch(watch: Watch, schedule: Schedule, onError: (watch: string, error: unknown) => void) {
  let stopped = false
  let cancel = () => {}
  let running = Promise.resolve()
  const look = async () => {
    try {
      await watch.check()
    } catch (error) {
      onError(watch.name, error)
    }
    if (!stopped) cancel = schedule(watch.everyMs, start)
  }
  const start = () => {
    running = look()
  }
  start()
  return () => {
    stopped = true
    cancel()
    return running
  }
}
