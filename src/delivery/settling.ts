import pRetry from 'p-retry'
import type { RetryPolicy } from '../domain/backoff.ts'
import type { Random } from '../domain/clock.ts'
import { type Attempt, type Delivery, type Settlement, withoutAnswer } from '../domain/delivery.ts'
import { RelayError } from '../domain/errors.ts'
import { type FinishedAttempt, settle } from '../domain/settlement.ts'
import type { Outbox, Settled } from '../outbox/outbox.ts'
import type { Questions } from './questions.ts'

/** Pause after the outbox could not be reached. */
export const OUTBOX_PAUSE_MS = 1_000

export interface SettlingOptions {
  readonly outbox: Pick<Outbox, 'settle'>
  readonly policy: RetryPolicy
  /** Whether in an ordered target a dead delivery holds back the rest of its call. */
  readonly holdOnDead: boolean
  readonly random: Random
  readonly log: SettlingLog
  readonly questions: Questions
  /** Ends the attempts to reach an outbox that cannot be reached. */
  readonly signal: AbortSignal
}

export interface SettlingLog {
  attempted(delivery: Delivery, attempt: Attempt, settlement: Settlement): void
  /** The delivery was changed while its attempt ran, so the outcome did not settle it. */
  superseded(delivery: Delivery, attempt: Attempt, settled: Exclude<Settled, 'settled'>): void
  /** The outbox could not be reached; the lane goes on by itself. `delivery`: the one whose end is not on record. */
  outboxUnavailable(target: string, error: Error, delivery?: Delivery): void
  /** The outbox cannot record this attempt, however often it is asked. The delivery is not sent again before a restart. */
  unrecorded?(delivery: Delivery, error: Error): void
}

/**
 * Puts on record what an attempt came to. Resolves with whether nothing is left to be done for the delivery, and never
 * rejects.
 */
export type Settling = (delivery: Delivery, finished: FinishedAttempt) => Promise<boolean>

export function createSettling(options: SettlingOptions): Settling {
  const { outbox, policy, holdOnDead, random, log, questions, signal } = options

  /**
   * The target has it: to forget that would be to send it again. So it is tried until the outbox can be reached, or until
   * the relay has to end. An error that is due to what is to be recorded is not retried.
   */
  async function record(delivery: Delivery, attempt: Attempt, settlement: Settlement): Promise<Settled> {
    const settleNow = () => questions.ask(outbox.settle(delivery, attempt, settlement))
    try {
      return await settleNow()
    } catch (problem) {
      if (!passes(problem)) throw problem
      log.outboxUnavailable(delivery.target, problem, delivery)
    }
    return pRetry(settleNow, {
      retries: Number.POSITIVE_INFINITY,
      minTimeout: OUTBOX_PAUSE_MS,
      maxTimeout: OUTBOX_PAUSE_MS,
      signal,
      onFailedAttempt({ error }) {
        if (passes(error)) log.outboxUnavailable(delivery.target, error, delivery)
      },
      shouldRetry: ({ error }) => passes(error),
    })
  }

  return async (delivery, finished) => {
    try {
      const { attempt, settlement: made } = settle(delivery, finished, policy, random)
      const settlement = made.state === 'dead' && holdOnDead ? { ...made, hold: true } : made
      const settled = await record(delivery, attempt, settlement).catch((problem) => {
        if (!isPermanent(problem)) throw problem
        // What came back from the target is the only part that is not the relay's own.
        const error = attempt.error === null ? null : UNRECORDABLE
        return record(delivery, { ...attempt, response: null, error, note: null }, settlement)
      })
      if (settled !== 'settled') {
        log.superseded(delivery, settled === 'erased' ? withoutAnswer(attempt) : attempt, settled)
        // What could not be claimed during the attempt may be due now.
        return false
      }
      log.attempted(delivery, attempt, settlement)
      return settlement.state !== 'pending'
    } catch (error) {
      // It stays leased: given back, it would be due at once, and be sent again and again.
      if (isPermanent(error)) log.unrecorded?.(delivery, error as Error)
      else log.outboxUnavailable(delivery.target, error as Error, delivery)
      return isPermanent(error)
    }
  }
}

/** The error of an attempt whose own one, or whose answer, the outbox could not store. */
const UNRECORDABLE = 'the answer could not be recorded'

function passes(error: unknown): error is RelayError {
  return error instanceof RelayError && error.code === 'outbox_unavailable' && !error.isPermanent
}

function isPermanent(error: unknown): boolean {
  return error instanceof RelayError && error.isPermanent
}
