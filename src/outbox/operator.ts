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

  /**
   * Every target that has a state, or deliveries that are pending, dead or delivered lately, in the order of their names.
   */
  listTargets(now: number): Promise<TargetSummary[]>

  /** How sources, targets and the storage are doing. */
  status(now: number): Promise<OutboxStatus>

  /** The last `count` entries, in the order in which they happened. */
  newestEntries(filter: JournalFilter, count: number): Promise<JournalPage>

  /** The entries after a position. There may be more after the new one: a page is bounded. */
  entriesAfter(filter: JournalFilter, position: JournalPosition): Promise<JournalPage>

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
  /** Pending, and nothing but the target's limits keeps them from being sent. */
  readonly due: number
  /** Pending, and their last attempt failed. */
  readonly retrying: number
  readonly dead: number
  readonly oldestDueAt: number | null
  /** Over the last five minutes. */
  readonly deliveredPerMinute: number
  /** The newest of those that are retrying or dead. */
  readonly lastError: TargetError | null
}

export interface TargetError {
  readonly error: string
  readonly at: number
}

export interface OutboxStatus {
  /** Every source of an event on record, or of a request refused in the last hour, in the order of their names. */
  readonly sources: readonly SourceActivity[]
  /** As `listTargets` gives them. */
  readonly targets: readonly TargetSummary[]
  /** On record. */
  readonly events: number
  readonly storage: StorageStatus
}

export interface SourceActivity {
  readonly source: string
  readonly lastEventAt: number | null
  readonly eventsLastHour: number
  /** The most frequent reason first. A request that was kept and sent again counts once. */
  readonly refusedLastHour: readonly { readonly reason: string; readonly count: number }[]
}

export interface StorageStatus {
  readonly bytes: number
  /** What is committed but not yet moved into the main file. */
  readonly walBytes: number
  /** What may still be written on this file system. */
  readonly freeBytes: number
}

/** What has happened: an event received, an attempt ended, a request refused. */
export type JournalEntry = EventEntry | AttemptEntry | RefusalEntry

export interface EventEntry extends JournalEvent {
  readonly kind: 'event'
}

export interface AttemptEntry extends JournalEvent, Omit<Attempt, 'response'> {
  readonly kind: 'attempt'
  readonly deliveryId: number
  readonly target: string
}

export interface RefusalEntry {
  readonly kind: 'refusal'
  readonly at: number
  readonly rejectionId: number
  readonly source: string
  readonly reason: string
  readonly peer: string
  readonly bytes: number | null
}

interface JournalEvent {
  /** When it happened: of an attempt, when it ended. */
  readonly at: number
  readonly eventId: string
  readonly source: string
  readonly event: string
  readonly callId: string | null
}

/** Which entries are meant. Of `event` and `callId`, refusals know nothing, and of `target` only attempts do. */
export interface JournalFilter extends Pick<EventFilter, 'source' | 'event' | 'callId'> {
  readonly kinds: readonly JournalEntry['kind'][]
  readonly target?: string
}

/** How far the journal was read, by the sequence number of each kind: times may repeat and go back. */
export type JournalPosition = Readonly<Record<JournalEntry['kind'], number>>

export interface JournalPage {
  readonly entries: readonly JournalEntry[]
  readonly position: JournalPosition
}
