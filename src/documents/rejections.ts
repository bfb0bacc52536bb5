import type { RejectionSummary } from '../outbox/operator.ts'
import { iso } from './instants.ts'

/** A rejection for scripts: instants in ISO. */
export function rejectionDocument<T extends RejectionSummary>(rejection: T): object {
  return { ...rejection, receivedAt: iso(rejection.receivedAt) }
}
