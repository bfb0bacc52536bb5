import type { Conceal } from '../domain/concealer.ts'
import type { Outcome } from '../domain/outcome.ts'
import type { Target } from './target.ts'

/**
 * A target whose answers tell none of its secrets: some services answer with what they were sent, some hooks print their
 * environment, and answers are kept in the outbox.
 */
export function concealing(target: Target, conceal: Conceal): Target {
  return {
    name: target.name,
    send: async (...attempt) => concealed(await target.send(...attempt), conceal),
    close: () => target.close(),
  }
}

/** An outcome without what `conceal` takes out of texts. */
export function concealed(outcome: Outcome, conceal: Conceal): Outcome {
  if (outcome.kind === 'interrupted') return outcome
  return {
    ...outcome,
    ...('error' in outcome && { error: conceal(outcome.error) }),
    ...(outcome.response !== undefined && { response: conceal(outcome.response) }),
    ...(outcome.note !== undefined && { note: conceal(outcome.note) }),
  } as Outcome
}
