import type { Draft } from '../draft.ts'
import type { Finding } from '../finding.ts'

/** Keys that are forgotten while reconciliation still looks for their events. */
export function* checkRetention({ outbox, ultravox }: Draft): Iterable<Finding> {
  const keys = outbox.retention?.keys
  const lookbacks = ultravox.flatMap(({ reconcile }) => reconcile?.lookback ?? [])
  if (keys === undefined || lookbacks.every((lookback) => keys > lookback)) return
  const message =
    'is not longer than ultravox.reconcile.lookback: what is forgotten would be fetched and delivered again; make it longer'
  yield { path: ['outbox', 'retention', 'keys'], message }
}
