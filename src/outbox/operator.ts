import type { ClockReading, ClockTrust } from '../domain/clock-trust.ts'
import type { Attempt, NewDelivery } from '../domain/delivery.ts'
import type { NewEvent, Origin } from '../domain/event.ts'
import type { JournalReader } from './journal.ts'
import type { DaemonState, OpenBreaker, Recorded, TargetState } from './outbox.ts'
import type { ProbeDesk } from './probes.ts'
import type { RecallDesk } from './recalls.ts'
import type { ReconciliationReader, ReconciliationStore } from './reconciliation.ts'
import type { RejectionDesk } from './rejections.ts'

export type * from './journal.ts'
export type * from './probes.ts'
export type * from './recalls.ts'
export type * from './reconciliation.ts'
export type * from './rejections.ts'

/**
 * What an operator does with an outbox, from another process than the daemon's or while none is running. Apart from the
 * daemon's `Outbox`, for it needs no lease and may run beside it. What changes many rows does so in transactions of a few
 * milliseconds with pauses between them, so that the daemon's own writes wait for no longer; what is done stays done if a
 * later one fails. All instants are epoch milliseconds.
 */
export interface OutboxOperator
  extends JournalReader,
    RejectionDesk,
    RecallDesk,
    ProbeDesk,
    ReconciliationStore,
    ReconciliationReader {
  /** The deliveries that are meant, in ascending order of their ids. */
  findDeliveries(filter: DeliveryFilter): Promise<FoundDelivery[]>

  /** The newest first. `before`: the last one of the page before. */
  listDeliveries(
    filter: DeliveryFilter,
    limit: number,
    before?: Pick<DeliverySummary, 'deliveryId'>,
  ): Promise<DeliverySummary[]>

  /** One delivery with all of its attempts and its place in the queue, or null where there is none. */
  showDelivery(deliveryId: number): Promise<DeliveryHistory | null>

  /**
   * Has deliveries tried anew: due at once, with a fresh budget of attempts and the same event id. Returns how many there
   * were; those whose event has no body any more are passed over. For many, call it with a few hundred ids at a time and report
   * the progress between; the rest of the filter says what they still have to be, for the daemon works on meanwhile.
   */
  retryDeliveries(filter: DeliveryFilter, now: number): Promise<number>

  /**
   * Gives deliveries up: pending and dead ones become cancelled, others are passed over. Returns how many were. For many,
   * see `retryDeliveries`.
   */
  cancelDeliveries(filter: DeliveryFilter, now: number): Promise<number>

  /**
   * Moves pending and dead deliveries to another target: due at once there, with a fresh budget and the same event id. Their
   * attempts stay with them. Others are passed over, and so are those whose event has no body any more or has a delivery to that target.
   * Returns how many were moved. For many, see `retryDeliveries`.
   */
  moveDeliveries(filter: DeliveryFilter, to: NewDelivery, now: number): Promise<number>

  countEvents(filter: EventFilter): Promise<number>

  /** The newest first, without their bodies. `before`: see `listDeliveries`. */
  listEvents(filter: EventFilter, limit: number, before?: Pick<ListedEvent, 'eventId'>): Promise<ListedEvent[]>

  /** The ids of events that begin so, in their order, no more than asked. */
  findEvents(prefix: string, limit: number): Promise<string[]>

  /**
   * Calls with at least one event that is meant, the one with the newest event first. What is counted is the whole call.
   * `before`: see `listDeliveries`.
   */
  listCalls(filter: EventFilter, limit: number, before?: Pick<CallSummary, 'lastEventId'>): Promise<CallSummary[]>

  /** One event with its body and all that became of it, or null where there is none. */
  showEvent(eventId: string): Promise<(EventHistory & { readonly body: Uint8Array | null }) | null>

  /** A call's events with all that became of them, in the order of time; none where nothing is known of it. */
  showCall(callId: string): Promise<EventHistory[]>

  /** The ids of calls that begin so, no more than asked. */
  findCalls(prefix: string, limit: number): Promise<string[]>

  /** Whole, in the order of their arrival, those after `after`. */
  readEvents(filter: EventFilter, after: number, limit: number): Promise<StoredEvent[]>

  /**
   * Sends events on record once more: a delivery that there is not yet is made, one that has ended is tried anew, one
   * that is still pending stays as it is. Returns how many were made or tried anew. For many, call it with a few hundred
   * at a time.
   */
  replay(replays: readonly Replay[], now: number): Promise<number>

  /** Records an event as the daemon does; a duplicate only counts. What is due, a running daemon sees by itself. */
  record(event: NewEvent, deliveries: readonly NewDelivery[]): Promise<Omit<Recorded, 'leased'>>

  setPaused(target: string, paused: boolean, now: number): Promise<void>

  /**
   * Every target that has a state, or deliveries that are pending, dead or delivered lately, in the order of their names.
   */
  listTargets(now: number): Promise<TargetSummary[]>

  /** Whether a target has or had deliveries, or a source events or rejections, that are still on record. */
  isOnRecord(what: 'target' | 'source', name: string): Promise<boolean>

  /** How sources, targets and the storage are doing. */
  status(now: number): Promise<OutboxStatus>

  /** The daemon of this outbox: what it last said of itself and whether it runs now. Null where none ever did. */
  daemon(): Promise<(DaemonState & { readonly running: boolean }) | null>

  /**
   * Asks the running daemon to reload its configuration and returns the number of the request. The daemon has served it when
   * its `answeredReload` is at least as high; one that starts drops all requests.
   */
  requestReload(): Promise<number>

  /** Whether a reading of this machine's clocks can be believed. Changes nothing. */
  clock(reading: ClockReading): Promise<ClockTrust>

  /** Has retention go by this machine's clock as it is. */
  confirmClock(reading: ClockReading): Promise<void>

  /** The sets of secrets that genuine events of a source were signed with, in the order of their first use. */
  secretUses(source: string): Promise<SecretUse[]>

  close(): Promise<void>
}

/** When genuine events were signed with exactly these secrets of a source. The last second may not be on record yet. */
export interface SecretUse {
  /** One fingerprint, or several in their order with a space between: each event counts for all its signers together. */
  readonly fingerprint: string
  readonly firstUsedAt: number
  readonly lastUsedAt: number
}

/** Which deliveries are meant; what is absent does not matter. */
export interface DeliveryFilter extends EventFilter {
  readonly deliveryIds?: readonly number[]
  readonly target?: string
  readonly states?: readonly DeliveryState[]
  /** A piece of the last error's text. */
  readonly error?: string
  /** Whether it is a dead delivery that holds the rest of its call. */
  readonly holding?: boolean
  /** With a higher id. */
  readonly afterDelivery?: number
}

export type DeliveryState = 'pending' | 'delivered' | 'dead' | 'cancelled'

/** Which events are meant; what is absent does not matter. */
export interface EventFilter {
  readonly eventIds?: readonly string[]
  readonly source?: string
  /** A pattern over event names, as in routes. */
  readonly event?: string
  /** A source whose events are not meant. */
  readonly exceptSource?: string
  readonly callId?: string
  /** Received at or after, and before (epoch milliseconds). */
  readonly since?: number
  readonly until?: number
  /** With at least one delivery in one of these states; `none`: without any. */
  readonly deliveryStates?: readonly (DeliveryState | 'none')[]
  /** Whether it has a delivery to this target, in any state. */
  readonly at?: { readonly target: string; readonly has: boolean }
  /** With a dead delivery to this target; `orFailing`: or a pending one whose last attempt failed. */
  readonly failedAt?: { readonly target: string; readonly orFailing: boolean }
  /** Recorded after the event with this id; none where there is no such event. */
  readonly afterEvent?: string
  /** Whether its body is still on record. */
  readonly hasBody?: boolean
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
  /** Pending, and behind another delivery of its call. */
  readonly waiting: boolean
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
  /** When all but its identity was removed for its age; null where it was not. */
  readonly prunedAt: number | null
}

/** Deliveries by their state. */
export interface DeliveryCounts {
  readonly pending: number
  /** Those of the pending ones whose last attempt failed. */
  readonly failing: number
  readonly delivered: number
  readonly dead: number
  readonly cancelled: number
}

export interface ListedEvent extends EventSummary {
  readonly deliveries: DeliveryCounts
}

/** A call in a list. First and last in the order of arrival. */
export interface CallSummary {
  readonly callId: string
  readonly source: string
  readonly firstEvent: string
  readonly firstEventAt: number
  readonly lastEventId: string
  readonly lastEvent: string
  readonly lastEventAt: number
  readonly events: number
  /** How far the call has come by its events; null if none of them says so. */
  readonly state: CallState | null
  readonly deliveries: DeliveryCounts
}

export type CallState = 'started' | 'joined' | 'ended' | 'billed'

/** An event and all that became of it. */
export interface EventHistory extends EventSummary {
  readonly origin: Origin
  readonly contentType: string | null
  /** The size of its body; null where that is gone. */
  readonly bytes: number | null
  /** The trace that it belongs to; null where it was recorded without one. */
  readonly traceId: string | null
  readonly deliveries: readonly DeliveryHistory[]
}

export interface DeliveryHistory extends DeliverySummary {
  readonly history: readonly Attempt[]
  /** Null unless pending. */
  readonly place: QueuePlace | null
}

/** Where a pending delivery stands in its target's queue. */
export interface QueuePlace {
  /** The delivery of its call that has to end first, or the dead one that holds the call; null where it is ready. */
  readonly behind: EarlierDelivery | null
  /** Whether an operator has paused its target. */
  readonly paused: boolean
  readonly breaker: OpenBreaker | null
  /** Until when the target is throttled (epoch milliseconds); null where it is not, or where that is over. */
  readonly throttledUntil: number | null
  /** Ready deliveries of its target that are due before it and sent first, counted up to `TALLIED`. */
  readonly ahead: number
  /** Its interrupted starts, and one more while the relay records a start under way. */
  readonly starts: number
}

export interface EarlierDelivery
  extends Pick<DeliverySummary, 'deliveryId' | 'event' | 'dueAt' | 'updatedAt' | 'lastError'> {
  readonly state: 'pending' | 'dead'
  /** See `QueuePlace`. */
  readonly ahead: number
  readonly starts: number
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
  /** The sum of `due`, `backoff`, `waiting` and `held`. */
  readonly pending: number
  /** Nothing but the target's limits keeps them from being sent. */
  readonly due: number
  /** Due later, after a failed attempt. */
  readonly backoff: number
  /** Behind an earlier delivery of their call that is pending itself. */
  readonly waiting: number
  /** Behind a dead delivery of their call, until an operator retries or cancels that one. */
  readonly held: number
  /** The number of calls that the held deliveries belong to. */
  readonly heldCalls: number
  /** Pending, whatever they wait for, and their last attempt failed. */
  readonly retrying: number
  readonly dead: number
  readonly oldestDueAt: number | null
  /** Since when the longest waiting of the held deliveries has been due; null where none is held. */
  readonly oldestHeldAt: number | null
  /** Over the last five minutes. */
  readonly deliveredPerMinute: number
  /** Attempts of the last hour that ended with a timeout, among the newest `READ_FOR_TIMEOUTS` of all targets. */
  readonly timedOut: number
  /** The newest of those that are retrying or dead. */
  readonly lastError: TargetError | null
  /** The last probe of an open circuit; null where none has ended since it opened. */
  readonly lastProbe: Probe | null
}

/** An attempt that was made to find out whether a target answers again. */
export interface Probe {
  readonly deliveryId: number
  /** Null where it is no longer on record, as is what follows. */
  readonly eventId: string | null
  readonly startedAt: number | null
  readonly status: number | null
  readonly error: string | null
}

/** The counts of a target without deliveries. */
export const NO_DELIVERIES = {
  pending: 0,
  due: 0,
  backoff: 0,
  waiting: 0,
  held: 0,
  heldCalls: 0,
  retrying: 0,
  dead: 0,
  oldestDueAt: null,
  oldestHeldAt: null,
} as const satisfies Partial<TargetSummary>

export interface TargetError {
  readonly error: string
  readonly at: number
}

export interface OutboxStatus {
  /** Every source of an event on record, or of a request refused in the last hour, in the order of their names. */
  readonly sources: readonly SourceActivity[]
  /** As `listTargets` gives them. */
  readonly targets: readonly TargetSummary[]
  /** On record, without those of which only the identity is left. */
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
  /** Without what is free inside. */
  readonly usedBytes: number
  /** What is committed but not yet moved into the main file. */
  readonly walBytes: number
  /** What may still be written on this file system. */
  readonly freeBytes: number
  /** Since when the outbox exists; null where its schema is older than this record. */
  readonly createdAt: number | null
  readonly schemaVersion: number
  /** The schema that this program writes; that of the storage may be older. */
  readonly programSchema: number
}
