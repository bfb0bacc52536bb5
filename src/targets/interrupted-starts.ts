import { INTERRUPTED_TOO_OFTEN, MOST_INTERRUPTED_STARTS } from '../domain/interrupted-starts.ts'
import type { Target } from './target.ts'

/** Rejects a delivery without sending it once the relay has ended unexpectedly during too many attempts in a row. */
export function withStartLimit(target: Target): Target {
  return {
    name: target.name,
    close: () => target.close(),
    async send(delivery, signal, onSent) {
      if ((delivery.starts ?? 0) < MOST_INTERRUPTED_STARTS) return target.send(delivery, signal, onSent)
      return { kind: 'refused', error: INTERRUPTED_TOO_OFTEN, unsent: true }
    },
  }
}
