import type { Attempt, NewDelivery } from '../domain/delivery.ts'
import type { DaemonState, TargetState } from './outbox.ts'

/**
 * What an operator does with an outbox, from another process than the daemon's or while none is running. Apart from the
 * daemon's `Outbox`, for it needs no lease and may run beside it. Every method is one transaction; all instants are
 * epoch milliseconds.
 */
export interface OutboxOperator {
  /** The deliveries that are meant, in ascending order of their ids. */
  findDeliveries(filter: DeliveryFilter): Promise<FoundDelivery[]>

  /** The newest first. */
  listDeliveries(filter: DeliveryFilter, limit: number): Promise<DeliverySummary[]>

  /** One delivery with all of its attempts, or null where there is none. */
  showDelivery(deliveryId: number): Promise<(DeliverySummary & { readonly history: readonly Attempt[] }) | null>

  /**
   * Has deliveries tried anew: due at once, with a fresh budget of attempts and the same event id. Returns how many there
   * were. For many, call it with a few hundred ids at a time; the rest of the filter says what they still have to be, for
   * the daemon works on while an operator thinks.
   */
  retryDeliveries(filter: DeliveryFilter, now: number): Promise<number>

  /**
   * Gives deliveries up: pending and dead ones become cancelled, others are passed over. Returns how many were. For many,
   * see `retryDeliveries`.
   */
  cancelDeliveries(filter: DeliveryFilter, now: number): Promise<number>

  countEvents(filter: EventFilter): Promise<number>

  /** The newest first, without their bodies. */
  listEvents(filter: EventFilter, limit: number): Promise<EventSummary[]>

  /** Whole, in the order of their arrival, those after `after`. */
  readEvents(filter: EventFilter, after: number, limit: number): Promise<StoredEvent[]>

  /**
   * Sends events on record once more: a delivery that there is not yet is made, one that has ended is tried anew, one
   * that is still pending stays as it is. Returns how many were made or tried anew. For many, call it with a few hundred
   * at a time.
   */
  replay(replays: readonly Replay[], now: number): Promise<number>

  setPaused(target: string, paused: boolean, now: number): Promise<void>

  /** Every target with deliveries or a state, in the order of their names. */
  listTargets(now: number): Promise<TargetSummary[]>

  /** The daemon of this outbox: what it last said of itself and whether it runs now. Null where none ever did. */
  daemon(): Promise<(DaemonState & { readonly running: boolean }) | null>

  close(): Promise<void>
}

/** Which deliveries are meant; what is absent does not matter. */
export interface DeliveryFilter extends EventFilter {
  readonly deliveryIds?: readonly number[]
  readonly target?: string
  readonly states?: readonly DeliveryState[]
  /** A piece of the last error's text. */
  readonly error?: string
}

export type DeliveryState = 'pending' | 'delivered' | 'dead' | 'cancelled'

/** Which events are meant; what is absent does not matter. */
export interface EventFilter {
  readonly eventIds?: readonly string[]
  readonly source?: string
  /** A pattern over event names, as in routes. */
  readonly event?: string
  /** And one that their names must not match. */
  readonly exceptEvent?: string
  readonly callId?: string
  /** Received at or after, and before (epoch milliseconds). */
  readonly since?: number
  readonly until?: number
}

export interface FoundDelivery {
  readonly deliveryId: number
  readonly target: string
}

export interface DeliverySummary {
  readonly deliveryId: number
  readonly eventId: string
  readonly event: string
  readonly callId: string | null
  readonly target: string
  readonly state: DeliveryState
  readonly attempts: number
  /** Null unless pending. */
  readonly dueAt: number | null
  readonly updatedAt: number
  readonly lastStatus: number | null
  readonly lastError: string | null
}

export interface EventSummary {
  readonly eventId: string
  readonly source: string
  readonly event: string
  readonly callId: string | null
  readonly receivedAt: number
  readonly duplicates: number
}

export interface StoredEvent extends EventSummary {
  /** Its place in the order of arrival. */
  readonly eventSeq: number
  readonly body: Uint8Array
}

/** An event on record, and where it is to go once more. */
export interface Replay {
  readonly eventSeq: number
  readonly deliveries: readonly NewDelivery[]
}

export interface TargetSummary extends TargetState {
  readonly pending: number
  /** Pending after at least one failure. */
  readonly retrying: number
  readonly dead: number
  readonly oldestDueAt: number | null
}
