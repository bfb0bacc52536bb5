import pRetry from 'p-retry'
import type { RetryPolicy } from '../domain/backoff.ts'
import type { Clock, Random } from '../domain/clock.ts'
import type { Attempt, Delivery, Settlement } from '../domain/delivery.ts'
import { RelayError } from '../domain/errors.ts'
import type { CountedOutcome } from '../domain/outcome.ts'
import { settle } from '../domain/settlement.ts'
import type { Outbox } from '../outbox/outbox.ts'
import type { Questions } from './questions.ts'

/** Pause after the outbox could not be reached. */
export const OUTBOX_PAUSE_MS = 1_000

export interface SettlingOptions {
  readonly outbox: Pick<Outbox, 'settle'>
  readonly policy: RetryPolicy
  /** Whether in an ordered target a dead delivery holds back the rest of its call. */
  readonly holdOnDead: boolean
  readonly clock: Clock
  readonly random: Random
  readonly log: SettlingLog
  readonly questions: Questions
  /** Ends the attempts to reach an outbox that cannot be reached. */
  readonly signal: AbortSignal
}

export interface SettlingLog {
  attempted(delivery: Delivery, attempt: Attempt, settlement: Settlement): void
  /** The delivery was cancelled while its attempt ran; the attempt is forgotten. */
  superseded(delivery: Delivery): void
  /** The outbox could not be reached; the lane goes on by itself. `delivery`: the one whose end is not on record. */
  outboxUnavailable(target: string, error: Error, delivery?: Delivery): void
}

/** Puts on record what an attempt came to. Resolves with whether nothing is left to be done for the delivery. */
export type Settling = (delivery: Delivery, startedAt: number, outcome: CountedOutcome) => Promise<boolean>

export function createSettling(options: SettlingOptions): Settling {
  const { outbox, policy, holdOnDead, clock, random, log, questions, signal } = options

  /**
   * The target has it: to forget that would be to send it again. So it is tried until the outbox can be reached, or until
   * the relay has to end.
   */
  function later(delivery: Delivery, settleNow: () => Promise<boolean>, error: Error): Promise<boolean> {
    const passes = (problem: Error) => problem instanceof RelayError && problem.code === 'outbox_unavailable'
    log.outboxUnavailable(delivery.target, error, delivery)
    if (!passes(error)) throw error
    return pRetry(settleNow, {
      retries: Number.POSITIVE_INFINITY,
      minTimeout: OUTBOX_PAUSE_MS,
      maxTimeout: OUTBOX_PAUSE_MS,
      signal,
      onFailedAttempt: ({ error }) => log.outboxUnavailable(delivery.target, error, delivery),
      shouldRetry: ({ error }) => passes(error),
    })
  }

  return async (delivery, startedAt, outcome) => {
    const finished = { startedAt, endedAt: clock.now(), outcome }
    const { attempt, settlement: settled } = settle(delivery, finished, policy, random)
    const settlement = settled.state === 'dead' && holdOnDead ? { ...settled, hold: true } : settled
    const settleNow = () => questions.ask(outbox.settle(delivery, attempt, settlement))
    try {
      const current = await settleNow().catch((error) => later(delivery, settleNow, error))
      if (current) log.attempted(delivery, attempt, settlement)
      else log.superseded(delivery)
      // One that was cancelled and tried anew meanwhile could not be claimed while it was leased.
      return current && settlement.state !== 'pending'
    } catch (error) {
      log.outboxUnavailable(delivery.target, error as Error, delivery)
      return false
    }
  }
}
