import type { AnswerKind } from '../domain/answer-policy.ts'
import type { Outcome } from '../domain/outcome.ts'
import { waitHintMs } from '../domain/retry-after.ts'
import type { Answer } from './http-exchange.ts'

/** Returns the outcome of an answer that a target takes to be of this kind. `now`: epoch milliseconds. */
export function answerOutcome(
  { status, waitHints, response, note }: Answer,
  kind: AnswerKind,
  error: string,
  now: number,
): Outcome {
  const answer = { status, ...(response !== undefined && { response }), ...(note !== undefined && { note }) }
  if (kind === 'delivered') return { kind, ...answer }
  if (kind === 'rejected') return { kind: 'refused', error, ...answer }
  const isThrottled = kind === 'throttled'
  const wait = waitHintMs(waitHints, isThrottled, now)
  return {
    kind: 'failed',
    error,
    ...answer,
    ...(isThrottled && { throttled: true }),
    ...(wait !== undefined && { retryAfterMs: wait }),
  }
}
