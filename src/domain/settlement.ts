import type { RetryPolicy } from './backoff.ts'
import { baseDelayMs, retryDelayMs } from './backoff.ts'
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
  /** Whether the target's circuit was open when the attempt ended: then an answer does not end the delivery. */
  readonly isCircuitOpen?: boolean
  /** Until when the target's throttle holds the lane; absent: as long as this attempt's own answer asks for. */
  readonly throttledUntil?: number
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
  const { settlement, why } = settlementOf(delivery, finished, policy, random)
  const attempt: Attempt = {
    attempt: number,
    startedAt,
    // The wall clock may have been set back meanwhile.
    durationMs: Math.max(0, endedAt - startedAt),
    outcome: outcome.kind,
    status: outcome.status ?? null,
    error: outcome.kind === 'delivered' ? null : errorOf(outcome.error, why),
    response: outcome.response ?? null,
    note: outcome.note?.slice(0, ERROR_LIMIT) ?? null,
  }
  return { attempt, settlement }
}

/** `why`: the reason for which the delivery ends, other than the outcome. */
function errorOf(error: string, why = ''): string {
  return error.slice(0, ERROR_LIMIT - why.length) + why
}

interface Decision {
  readonly settlement: Settlement
  readonly why?: string
}

const DEAD: Decision = { settlement: { state: 'dead' } }

function settlementOf(
  delivery: Delivery,
  { outcome, startedAt, endedAt, stoppedMs = 0, isStopped = false, ...target }: FinishedAttempt,
  policy: RetryPolicy,
  random: Random,
): Decision {
  if (outcome.kind === 'delivered') return { settlement: { state: 'delivered' } }
  const isThrottled = outcome.kind === 'failed' && outcome.throttled === true
  const timedOut = outcome.kind === 'failed' && outcome.timedOut === true
  const retryAfterMs = outcome.kind === 'failed' ? outcome.retryAfterMs : undefined
  const number = delivery.roundAttempts + 1
  if (outcome.kind === 'refused') {
    // While the target is down, a proxy in front of it may answer.
    if (outcome.unsent || target.isCircuitOpen !== true) return DEAD
  } else if (!isThrottled) {
    if (policy.maxAttempts !== null && number >= policy.maxAttempts) return DEAD
    const timeouts = (delivery.timeouts ?? 0) + 1
    if (timedOut && policy.timeouts != null && timeouts >= policy.timeouts) {
      const count = timeouts === 1 ? '1 attempt has' : `${timeouts} attempts have`
      return { ...DEAD, why: `; gave up: ${count} timed out (retry.timeouts: ${policy.timeouts})` }
    }
  }
  const askedMs = Math.min(retryAfterMs ?? baseDelayMs(policy, 1), policy.maxDelayMs)
  const dueAt = isThrottled
    ? Math.max(endedAt, target.throttledUntil ?? endedAt + askedMs)
    : endedAt + retryDelayMs(policy, number, random, retryAfterMs)
  const firstAttemptAt = (delivery.firstAttemptAt ?? startedAt) + stoppedMs
  // While the time stands still, the next attempt may start without more of it being used.
  const usedMs = (isStopped ? endedAt : dueAt) - firstAttemptAt
  if (policy.giveUpAfterMs !== null && usedMs > policy.giveUpAfterMs) return DEAD
  return {
    settlement: {
      state: 'pending',
      dueAt,
      ...(stoppedMs !== 0 && { firstAttemptAt }),
      ...(isThrottled && { uncounted: true }),
      ...(timedOut && { timedOut: true }),
    },
  }
}
