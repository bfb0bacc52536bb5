import type { Clock } from '../domain/clock.ts'
import type { DeliveryFilter, DeliveryState, FoundDelivery, OutboxOperator, RecallDesk } from '../outbox/operator.ts'
import { DELIVERY_STATES, isEmpty } from './filters.ts'
import { cancelAndRecall, NOTHING_SENT, type Recalled } from './recall.ts'
import { type Advance, inSteps } from './steps.ts'

/** So many deliveries a transaction: the daemon's own writes wait for no longer than that takes. */
const STEP = 500

/** What is done to many deliveries. */
export interface Redelivery {
  readonly done: 'retried' | 'cancelled'
  /** The states it is about where neither ids nor states are given. */
  readonly usual: readonly DeliveryState[]
  /** The states it can be about at all. */
  readonly possible: readonly DeliveryState[]
  /** Whether it takes the event's body. */
  readonly sends: boolean
  /** Whether the running relay must not send what it is done to, even if it has claimed it. */
  readonly recalls: boolean
  readonly change: (operator: Redeliverer, filter: DeliveryFilter, now: number) => Promise<number>
}

export type Redeliverer = Pick<OutboxOperator, 'retryDeliveries' | 'cancelDeliveries'> & RecallDesk

export const RETRY: Redelivery = {
  done: 'retried',
  usual: ['dead'],
  possible: DELIVERY_STATES,
  sends: true,
  recalls: false,
  change: (operator, filter, now) => operator.retryDeliveries(filter, now),
}

export const CANCEL: Redelivery = {
  done: 'cancelled',
  usual: ['pending', 'dead'],
  possible: ['pending', 'dead'],
  sends: false,
  recalls: true,
  change: (operator, filter, now) => operator.cancelDeliveries(filter, now),
}

/** Which deliveries an operator means; undefined where that would be all there are. */
export function meantDeliveries(
  ids: readonly number[],
  filter: DeliveryFilter,
  { usual, possible }: Redelivery,
): DeliveryFilter | undefined {
  if (ids.length > 0) return { states: possible, ...filter, deliveryIds: ids }
  return isEmpty(filter) ? undefined : { states: usual, ...filter }
}

export interface Redelivered {
  /** To how many it was done. */
  readonly changed: number
  readonly recalled: Recalled
}

/** Does it to those that were found, as far as they still are what the filter says. */
export async function redeliver(
  operator: Redeliverer,
  filter: DeliveryFilter,
  found: readonly FoundDelivery[],
  { change, recalls }: Redelivery,
  clock: Clock,
  advance: Advance = () => {},
): Promise<Redelivered> {
  const ids = found.map(({ deliveryId }) => deliveryId)
  async function work(): Promise<number> {
    let changed = 0
    await inSteps(ids, STEP, advance, async (step) => {
      // With the whole filter again: what the daemon has delivered since it was counted is left alone.
      changed += await change(operator, { ...filter, deliveryIds: step }, clock.now())
    })
    return changed
  }
  if (!recalls || ids.length === 0) return { changed: await work(), recalled: NOTHING_SENT }
  const all = new Set(ids)
  const [changed, recalled] = await cancelAndRecall(operator, ({ deliveryId }) => all.has(deliveryId), work)
  return { changed, recalled }
}
