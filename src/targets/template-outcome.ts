import type { Outcome } from '../domain/outcome.ts'
import { NotEvaluated, PayloadError, TaskError } from '../expressions/bounded.ts'

/** The outcome of an attempt that ended with its templates. */
export type TemplateOutcome = Extract<Outcome, { kind: 'refused' | 'failed' }>

/** What an error of a `boundedTemplate` means: only where it could not be evaluated now may a retry be better. */
export function problemOutcome(error: unknown): TemplateOutcome {
  if (error instanceof PayloadError) return { kind: 'refused', error: `payload: ${error.message}`, unsent: true }
  if (error instanceof TaskError) return { kind: 'refused', error: `template: ${error.message}`, unsent: true }
  if (error instanceof NotEvaluated) return { kind: 'failed', error: `template: ${error.message}`, unsent: true }
  throw error
}
