import type { Config } from '../config/config.ts'
import type { Attempt } from '../domain/delivery.ts'
import type {
  CallSummary,
  DeliveryCounts,
  DeliveryHistory,
  DeliverySummary,
  EventHistory,
  EventSummary,
} from '../outbox/operator.ts'
import { iso, isoOrNull } from './instants.ts'
import { type WaitsFor, waitsFor } from './waits.ts'

/** An event for scripts: instants in ISO, here and in all that follow. */
export function eventDocument<T extends EventSummary>(event: T): object {
  return { ...event, receivedAt: iso(event.receivedAt), prunedAt: isoOrNull(event.prunedAt) }
}

/** A call in a list. */
export function callDocument(call: CallSummary): object {
  const { firstEventAt, lastEventAt } = call
  const times = { firstEventAt: iso(firstEventAt), lastEventAt: iso(lastEventAt) }
  return { ...call, ...times, worstDelivery: worstDelivery(call.deliveries) }
}

/** The state of the delivery that needs an operator most; null without any. */
export function worstDelivery({
  pending,
  failing,
  delivered,
  dead,
  cancelled,
}: DeliveryCounts): keyof DeliveryCounts | null {
  if (dead > 0) return 'dead'
  if (failing > 0) return 'failing'
  if (pending > 0) return 'pending'
  if (cancelled > 0) return 'cancelled'
  return delivered > 0 ? 'delivered' : null
}

export function deliveryDocument<T extends DeliverySummary>(delivery: T): object {
  return { ...delivery, dueAt: isoOrNull(delivery.dueAt), updatedAt: iso(delivery.updatedAt) }
}

export function attemptDocument(attempt: Attempt): object {
  return { ...attempt, startedAt: iso(attempt.startedAt) }
}

/** An event with its deliveries, and those with their attempts and what they wait for. */
export function eventHistoryDocument({ deliveries, ...event }: EventHistory, config: Config, now: number): object {
  return { ...eventDocument(event), deliveries: deliveries.map((each) => deliveryHistoryDocument(each, config, now)) }
}

/** A delivery with its attempts and what it waits for. */
export function deliveryHistoryDocument(delivery: DeliveryHistory, config: Config, now: number): object {
  const { history, place: _, ...summary } = delivery
  const reason = waitsFor(delivery, config, now)
  return {
    ...deliveryDocument(summary),
    history: history.map(attemptDocument),
    waitsFor: reason && waitsForDocument(reason),
  }
}

function waitsForDocument(wait: WaitsFor): object {
  switch (wait.reason) {
    case 'held':
      return { ...wait, deadSince: iso(wait.deadSince) }
    case 'order':
      return { ...wait, dueAt: iso(wait.dueAt), waitsFor: wait.waitsFor && waitsForDocument(wait.waitsFor) }
    case 'circuit':
      return { ...wait, probeAt: iso(wait.probeAt) }
    case 'throttled':
      return { ...wait, until: iso(wait.until) }
    case 'backoff':
      return { ...wait, dueAt: iso(wait.dueAt) }
    default:
      return wait
  }
}
