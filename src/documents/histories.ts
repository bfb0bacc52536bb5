import type { Attempt } from '../domain/delivery.ts'
import type { DeliveryHistory, DeliverySummary, EventHistory, EventSummary } from '../outbox/operator.ts'
import { iso, isoOrNull } from './instants.ts'

/** An event for scripts: instants in ISO, here and in all that follow. */
export function eventDocument<T extends EventSummary>(event: T): object {
  return { ...event, receivedAt: iso(event.receivedAt), prunedAt: isoOrNull(event.prunedAt) }
}

export function deliveryDocument<T extends DeliverySummary>(delivery: T): object {
  return { ...delivery, dueAt: isoOrNull(delivery.dueAt), updatedAt: iso(delivery.updatedAt) }
}

export function attemptDocument(attempt: Attempt): object {
  return { ...attempt, startedAt: iso(attempt.startedAt) }
}

/** An event with its deliveries, and those with their attempts. */
export function eventHistoryDocument({ deliveries, ...event }: EventHistory): object {
  return { ...eventDocument(event), deliveries: deliveries.map(deliveryHistoryDocument) }
}

function deliveryHistoryDocument({ history, ...delivery }: DeliveryHistory): object {
  return { ...deliveryDocument(delivery), history: history.map(attemptDocument) }
}
