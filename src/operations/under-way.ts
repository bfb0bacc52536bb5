import type { DeliveryHistory, OutboxOperator } from '../outbox/operator.ts'
import { attemptsAfterRecall } from './recall.ts'

/** When the attempts under way were started (epoch milliseconds), by the id of their delivery. */
export type UnderWay = ReadonlyMap<number, number>

/** A relay that works answers within a quarter of a second. Nothing is changed, so a slow one is not waited for. */
const PATIENCE_MS = 1_000

/**
 * Which of these deliveries are being sent now. Only the running relay knows; it is asked if one of them may be. Without an answer
 * none is said to be.
 */
export async function underWayNow(
  operator: Pick<OutboxOperator, 'requestRecall' | 'recallAnswer'>,
  deliveries: readonly DeliveryHistory[],
  now: number,
): Promise<UnderWay> {
  const mayBe = deliveries.filter(({ dueAt, place }) => dueAt !== null && dueAt <= now && place?.behind === null)
  if (mayBe.length === 0) return new Map()
  // Somebody who may only read the outbox cannot ask.
  const attempts = await attemptsAfterRecall(operator, PATIENCE_MS).catch(() => null)
  return new Map((attempts ?? []).map(({ deliveryId, startedAt = now }) => [deliveryId, startedAt]))
}
