/** What an HTTP status means for a delivery; see "Answers" in docs/concepts/retries-and-order.md. */
export type AnswerKind = 'delivered' | 'rejected' | 'throttled' | 'failed'

/** A status from 300 to 599, or all of a class. */
export type AnswerPattern = number | AnswerClass
export type AnswerClass = (typeof ANSWER_CLASSES)[number]

export const ANSWER_CLASSES = ['3xx', '4xx', '5xx'] as const

export interface AnswerRules {
  readonly retryOn: readonly AnswerPattern[]
  readonly rejectOn: readonly AnswerPattern[]
}

export const DEFAULT_ANSWER_RULES: AnswerRules = { retryOn: [], rejectOn: [] }

/** Statuses that condemn the payload: the same bytes would be rejected again. */
const REJECTED: ReadonlySet<number> = new Set([400, 405, 410, 413, 414, 415, 422, 501])

const TOO_MANY_REQUESTS = 429

/**
 * Classifies a status. A rule for the single status wins over one for its class, and a rule of a class over the default.
 * `retryOn` leaves 429 throttled: that is a retry. A status below 200 is not an answer and counts as failed.
 */
export function answerKind(status: number, { retryOn, rejectOn }: AnswerRules = DEFAULT_ANSWER_RULES): AnswerKind {
  if (status >= 200 && status < 300) return 'delivered'
  const retried = status === TOO_MANY_REQUESTS ? 'throttled' : 'failed'
  if (rejectOn.includes(status)) return 'rejected'
  if (retryOn.includes(status)) return retried
  const ofClass = `${Math.floor(status / 100)}xx` as AnswerClass
  if (rejectOn.includes(ofClass)) return 'rejected'
  if (retryOn.includes(ofClass)) return retried
  return REJECTED.has(status) ? 'rejected' : retried
}
