import type { Clock } from '../domain/clock.ts'
import type { NewDelivery } from '../domain/delivery.ts'
import type { DeliveryFilter, DeliveryState, FoundDelivery, OutboxOperator, RecallDesk } from '../outbox/operator.ts'
import { DELIVERY_STATES, isEmpty } from './filters.ts'
import { cancelAndRecall, NOTHING_SENT, type Recalled } from './recall.ts'
import { inSteps, type StepOptions } from './steps.ts'

/** So many deliveries a transaction: the daemon's own writes wait for no longer than that takes. */
const STEP = 500

/** What is done to many deliveries. */
export interface Redelivery {
  readonly done: 'retried' | 'cancelled' | 'moved'
  /** The states it is about where neither ids nor states are given. */
  readonly usual: readonly DeliveryState[]
  /** The states it can be about at all. */
  readonly possible: readonly DeliveryState[]
  /** Whether it takes the event's body. */
  readonly sends: boolean
  /** Whether the running relay must not send what it is done to, even if it has claimed it. */
  readonly recalls: boolean
  /** Where deliveries are moved to; absent where they stay at their target. */
  readonly to?: string
  readonly change: (operator: Redeliverer, filter: DeliveryFilter, now: number) => Promise<number>
}

export type Redeliverer = Pick<OutboxOperator, 'retryDeliveries' | 'cancelDeliveries' | 'moveDeliveries'> & RecallDesk

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

/** Moves deliveries to another target. */
export function moveTo(to: NewDelivery): Redelivery {
  return {
    done: 'moved',
    usual: MOVABLE,
    possible: MOVABLE,
    sends: true,
    recalls: true,
    to: to.target,
    change: (operator, filter, now) => operator.moveDeliveries(filter, to, now),
  }
}

export const MOVABLE: readonly DeliveryState[] = ['pending', 'dead']

/** Which deliveries an operator means; undefined where that would be all there are. */
export function meantDeliveries(
  ids: readonly number[],
  filter: DeliveryFilter,
  { usual, possible, to }: Redelivery,
): DeliveryFilter | undefined {
  // What the other target has already is not sent to it a second time.
  const elsewhere = to === undefined ? {} : { at: { target: to, has: false } }
  if (ids.length > 0) return { states: possible, ...filter, ...elsewhere, deliveryIds: ids }
  return isEmpty(filter) ? undefined : { states: usual, ...filter, ...elsewhere }
}

export interface Redelivered {
  /** To how many it was done. */
  readonly changed: number
  /** How many of those that were found were worked through, the first ones; all of them unless it was interrupted. */
  readonly worked: number
  readonly recalled: Recalled
}

/** Does it to those that were found, as far as they still are what the filter says. */
export async function redeliver(
  operator: Redeliverer,
  filter: DeliveryFilter,
  found: readonly FoundDelivery[],
  { change, recalls }: Redelivery,
  clock: Clock,
  options: StepOptions = {},
): Promise<Redelivered> {
  const ids = found.map(({ deliveryId }) => deliveryId)
  async function work() {
    let changed = 0
    const worked = await inSteps(ids, STEP, options, async (step) => {
      // With the whole filter again: what the daemon has delivered since it was counted is left alone.
      changed += await change(operator, { ...filter, deliveryIds: step }, clock.now())
    })
    return { changed, worked }
  }
  if (!recalls || ids.length === 0) return { ...(await work()), recalled: NOTHING_SENT }
  const all = new Set(ids)
  const [done, recalled] = await cancelAndRecall(operator, ({ deliveryId }) => all.has(deliveryId), work)
  return { ...done, recalled }
}
