import type { RetryPolicy } from './backoff.ts'
import { retryDelayMs } from './backoff.ts'
import type { Random } from './clock.ts'
import type { Attempt, Delivery, Settlement } from './delivery.ts'
import type { CountedOutcome } from './outcome.ts'

/** Longest error text kept, and longest note, in characters. */
const ERROR_LIMIT = 500

/** An attempt that has ended, with its times in epoch milliseconds. */
export interface FinishedAttempt {
  readonly startedAt: number
  readonly endedAt: number
  readonly outcome: CountedOutcome
  /** For how much of it nothing else could have been tried: the target was paused, or the machine suspended. Absent: 0. */
  readonly stoppedMs?: number
  /** Whether nothing can be tried now: then the time for the delivery stands still. */
  readonly isStopped?: boolean
}

/** Decides what becomes of a delivery after an attempt. Pure: the same input gives the same answer. */
export function settle(
  delivery: Delivery,
  finished: FinishedAttempt,
  policy: RetryPolicy,
  random: Random,
): { attempt: Attempt; settlement: Settlement } {
  const { outcome, startedAt, endedAt } = finished
  const number = delivery.attempts + 1
  const attempt: Attempt = {
    attempt: number,
    startedAt,
    // The wall clock may have been set back meanwhile.
    durationMs: Math.max(0, endedAt - startedAt),
    outcome: outcome.kind,
    status: outcome.status ?? null,
    error: outcome.kind === 'delivered' ? null : outcome.error.slice(0, ERROR_LIMIT),
    response: outcome.response ?? null,
    note: outcome.note?.slice(0, ERROR_LIMIT) ?? null,
  }
  return { attempt, settlement: settlementOf(delivery, finished, policy, random) }
}

function settlementOf(
  delivery: Delivery,
  { outcome, startedAt, endedAt, stoppedMs = 0, isStopped = false }: FinishedAttempt,
  policy: RetryPolicy,
  random: Random,
): Settlement {
  if (outcome.kind === 'delivered') return { state: 'delivered' }
  if (outcome.kind === 'refused') return { state: 'dead' }
  const number = delivery.roundAttempts + 1
  if (policy.maxAttempts !== null && number >= policy.maxAttempts) return { state: 'dead' }
  const dueAt = endedAt + retryDelayMs(policy, number, random, outcome.retryAfterMs)
  const firstAttemptAt = (delivery.firstAttemptAt ?? startedAt) + stoppedMs
  // While the time stands still, the next attempt may start without more of it being used.
  const usedMs = (isStopped ? endedAt : dueAt) - firstAttemptAt
  if (policy.giveUpAfterMs !== null && usedMs > policy.giveUpAfterMs) return { state: 'dead' }
  return stoppedMs === 0 ? { state: 'pending', dueAt } : { state: 'pending', dueAt, firstAttemptAt }
}
