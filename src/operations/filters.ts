import { type RefusalCode, RelayError } from '../domain/errors.ts'
import { iso } from '../domain/iso.ts'
import type { DeliveryFilter, DeliveryState, EventFilter, RejectionFilter } from '../outbox/operator.ts'

type EventState = NonNullable<EventFilter['deliveryStates']>[number]

/** What an operator asks for, by the names that it has in commands and in the admin API. Instants in epoch milliseconds. */
export interface AskedEvents {
  readonly source?: string
  readonly event?: string
  readonly call?: string
  readonly since?: number
  readonly until?: number
}

export interface AskedReplay extends AskedEvents {
  /** Dead at this target. */
  readonly failedAt?: string
  /** With `failedAt`: or pending there after a failed attempt. */
  readonly orFailing?: boolean
  /** Recorded after the event with this id. */
  readonly after?: string
}

export interface AskedEventList extends AskedEvents {
  readonly state?: EventState[]
}

export interface AskedDeliveries extends AskedEvents {
  readonly target?: string
  readonly state?: DeliveryState[]
  readonly eventId?: string[]
  readonly error?: string
  /** Only dead deliveries that hold the rest of their call. */
  readonly holding?: boolean
  /** With a higher id. */
  readonly after?: number
}

export interface AskedRejections {
  readonly reason?: RefusalCode
  readonly source?: string
  readonly peer?: string
  readonly since?: number
  readonly until?: number
  readonly kept?: boolean
}

export const DELIVERY_STATES: readonly DeliveryState[] = ['pending', 'delivered', 'dead', 'cancelled']

export const EVENT_STATES: readonly EventState[] = [...DELIVERY_STATES, 'none']

/** What is asked for; a key is there only where it was given. Throws `usage` for a period that ends before it begins. */
export function eventFilter({ source, event, call, since, until }: AskedEvents): EventFilter {
  assertPeriod(since, until)
  return given({ source, event, callId: call, since, until })
}

/** See `eventFilter`. Throws `usage`. */
export function replayFilter({ failedAt, orFailing = false, after, ...event }: AskedReplay): EventFilter {
  if (orFailing && failedAt === undefined)
    throw new RelayError('usage', '"or failing" needs the target: name it with failed-at')
  const failed = failedAt === undefined ? undefined : { target: failedAt, orFailing }
  return { ...given({ failedAt: failed, afterEvent: after }), ...eventFilter(event) }
}

/** See `eventFilter`. */
export function eventListFilter({ state, ...event }: AskedEventList): EventFilter {
  return { ...given({ deliveryStates: state }), ...eventFilter(event) }
}

/** See `eventFilter`. */
export function deliveryFilter({
  target,
  state,
  eventId,
  error,
  holding,
  after,
  ...event
}: AskedDeliveries): DeliveryFilter {
  // Only dead ones hold, and to say so keeps the others from being read.
  const states = state ?? (holding === true ? ['dead' as const] : undefined)
  return {
    ...given({ target, states, eventIds: eventId, error, holding, afterDelivery: after }),
    ...eventFilter(event),
  }
}

/** See `eventFilter`. */
export function rejectionFilter({ reason, source, peer, since, until, kept }: AskedRejections): RejectionFilter {
  assertPeriod(since, until)
  return given({ reason, source, peer, since, until, kept })
}

function assertPeriod(since: number | undefined, until: number | undefined): void {
  if (since === undefined || until === undefined || since <= until) return
  throw new RelayError('usage', `since ${iso(since)} is after until ${iso(until)}: nothing can match`)
}

export function isEmpty(filter: object): boolean {
  return Object.keys(filter).length === 0
}

/** Those of the values that are there. */
type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> }

function given<T extends object>(values: T): Given<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Given<T>
}
