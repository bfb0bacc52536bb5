import * as z from 'zod'
import { ANSWER_CLASSES, type AnswerClass } from '../../domain/answer-policy.ts'
import { orReference } from './scalars.ts'

const PROBLEM = 'must be a status from 300 to 599, or one of 3xx, 4xx and 5xx'
const WRITTEN = /^([3-5]\d\d|[3-5]xx)$/

/** Statuses and classes of statuses, as in `[404, 5xx]`. The text of a status is fine too, because `${VAR}` gives text. */
export function answerPatterns() {
  const status = z.int(PROBLEM).min(300, PROBLEM).max(599, PROBLEM)
  const written = z
    .string()
    .meta({ pattern: orReference(WRITTEN.source) })
    .refine((value) => WRITTEN.test(value), PROBLEM)
    .transform((value) => (isClass(value) ? value : Number(value)))
  return z.array(z.union([status, written], { error: () => PROBLEM })).prefault([])
}

function isClass(value: string): value is AnswerClass {
  return (ANSWER_CLASSES as readonly string[]).includes(value)
}
