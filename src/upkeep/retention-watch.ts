import { outboxFull, outboxSizeRecovered } from '../alerts/outbox-events.ts'
import type { Alert } from '../alerts/relay-event.ts'
import { intervalFor, type Watch } from '../alerts/watches.ts'
import type { Clock, Stopwatch } from '../domain/clock.ts'
import type { Pruned, RetentionPolicy, RetentionStore } from '../outbox/retention.ts'

export interface RetentionOptions {
  readonly policy: RetentionPolicy
  readonly store: Pick<RetentionStore, 'prune'>
  readonly clock: Clock
  readonly stopwatch: Stopwatch
  readonly raise: (alert: Alert) => void
  readonly recovered: (alert: Alert) => void
  readonly log: RetentionLog
}

export interface RetentionLog {
  /** What a look at everything has removed in all, where that was anything. */
  pruned(removed: Removed): void
  /** The outbox is larger than it may be, and all that is left has to stay. */
  full(excessBytes: number, maxSizeBytes: number): void
}

export type Removed = Pick<Pruned, 'events' | 'rejections' | 'keys'>

/** Between two steps: long enough that events have most of the outbox's time. */
const PAUSE_SHARE = 4
const LEAST_PAUSE_MS = 20
const LONGEST_PAUSE_MS = 1_000

/** How soon it is noticed that the outbox has become larger than it may be. */
const SIZE_EVERY_MS = 10_000

/**
 * Removes what need not be kept any more, a short step at a time. After a step it pauses for a multiple of what that took,
 * waiting included: where the outbox has much to do, less is removed. Tells once where the outbox cannot be kept to its size.
 */
export function watchRetention(options: RetentionOptions): Watch {
  const { policy, store, clock, stopwatch, raise, recovered, log } = options
  const { maxSizeBytes, keysMs: _, ...ages } = policy
  const idleMs = Math.min(
    ...Object.values(ages).map((age: number) => intervalFor(age)),
    maxSizeBytes === null ? Number.POSITIVE_INFINITY : SIZE_EVERY_MS,
  )
  let pauseMs = idleMs
  let removed: Removed = NOTHING
  let told = false

  function ended(excessBytes: number): void {
    if (total(removed) > 0) log.pruned(removed)
    removed = NOTHING
    const isFull = excessBytes > 0
    if (isFull && !told && maxSizeBytes !== null) {
      log.full(excessBytes, maxSizeBytes)
      raise(outboxFull(excessBytes, maxSizeBytes))
    }
    if (!isFull) recovered(outboxSizeRecovered())
    told = isFull
  }

  return {
    name: 'retention',
    get everyMs() {
      return pauseMs
    },
    async check() {
      // For a step that fails.
      pauseMs = idleMs
      const startedAt = stopwatch()
      const { more, excessBytes, ...step } = await store.prune(policy, clock.now())
      removed = sum(removed, step)
      if (!more) return ended(excessBytes)
      const took = stopwatch() - startedAt
      pauseMs = Math.min(LONGEST_PAUSE_MS, Math.max(LEAST_PAUSE_MS, PAUSE_SHARE * took))
    },
  }
}

const NOTHING: Removed = { events: 0, rejections: 0, keys: 0 }

function sum(a: Removed, b: Removed): Removed {
  return { events: a.events + b.events, rejections: a.rejections + b.rejections, keys: a.keys + b.keys }
}

function total({ events, rejections, keys }: Removed): number {
  return events + rejections + keys
}
