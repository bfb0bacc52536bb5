/**
 * What one attempt came to, as its target saw it. `failed` may succeed later; `refused` will not, whatever we do;
 * `interrupted` says nothing about the target (we stopped it ourselves) and is not counted.
 */
export type Outcome =
  | {
      readonly kind: 'delivered'
      readonly status?: number
      readonly response?: string
      /** What an operator should know of the attempt, whatever its outcome: one sentence without secrets. */
      readonly note?: string
    }
  | {
      readonly kind: 'failed'
      readonly error: string
      readonly status?: number
      readonly response?: string
      readonly note?: string
      /** How long the target asked us to wait, in milliseconds. */
      readonly retryAfterMs?: number
      /** The target limits its rate (429): the attempt is on record and uses nothing of the delivery's budget. */
      readonly throttled?: true
      /** The target got the request and did not finish in time: it may have done the work. */
      readonly timedOut?: true
      /**
       * Counts as an attempt and says nothing about the target: it was not asked, or its name took too long to be
       * resolved.
       */
      readonly unsent?: true
    }
  | {
      readonly kind: 'refused'
      readonly error: string
      readonly status?: number
      readonly response?: string
      readonly note?: string
      /** The target was not asked: the template or payload is at fault. Says nothing about the target. */
      readonly unsent?: true
    }
  | { readonly kind: 'interrupted' }

/** An outcome that counts as an attempt. */
export type CountedOutcome = Exclude<Outcome, { kind: 'interrupted' }>

/** Adds a note to an outcome that counts; an empty one changes nothing. */
export function withNote(outcome: Outcome, note: string): Outcome {
  if (outcome.kind === 'interrupted' || note === '') return outcome
  return { ...outcome, note: outcome.note === undefined ? note : `${outcome.note}; ${note}` }
}
