import type { Outcome } from '../domain/outcome.ts'
import { MASK, type Secret } from '../domain/secret.ts'
import type { Target } from './target.ts'

/** Shorter pieces are words that stand in any text (`Bearer`, `true`), and no secret worth the name. */
const LEAST_LENGTH = 8

/**
 * A target whose answers tell none of its secrets: some services answer with what they were sent, some hooks print their
 * environment, and answers are kept in the outbox.
 */
export function concealing(target: Target, secrets: readonly Secret[]): Target {
  const conceal = concealer(secrets)
  return {
    name: target.name,
    send: async (delivery, signal) => concealed(await target.send(delivery, signal), conceal),
    close: () => target.close(),
  }
}

/** Takes these secrets out of a text. */
export function concealer(secrets: readonly Secret[]): (text: string) => string {
  const pieces = secrets.flatMap(piecesOf)
  return (text) => pieces.reduce((told, piece) => told.replaceAll(piece, MASK), text)
}

/** `Bearer abc`, whole and word by word, longest first; of a template the words around its expressions. */
function piecesOf(secret: Secret): string[] {
  const text = secret.reveal()
  return [text, ...text.split(/\{\{.*?\}\}|\s+/)].filter((piece) => piece.length >= LEAST_LENGTH)
}

/** An outcome without what `conceal` takes out of texts. */
export function concealed(outcome: Outcome, conceal: (text: string) => string): Outcome {
  if (outcome.kind === 'interrupted') return outcome
  return {
    ...outcome,
    ...('error' in outcome && { error: conceal(outcome.error) }),
    ...(outcome.response !== undefined && { response: conceal(outcome.response) }),
  } as Outcome
}
