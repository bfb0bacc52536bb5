import type { Attempt, Delivery, NewDelivery, Settlement } from '../domain/delivery.ts'
import type { RefusalCode } from '../domain/errors.ts'
import type { NewEvent } from '../domain/event.ts'
import type { AttachmentStore } from './attachments.ts'
import type { ProbeRequest, ProbeResult } from './probes.ts'
import type { AwaitedEventStore, ProviderStateStore, ReconciliationStore } from './reconciliation.ts'
import type { RetentionStore } from './retention.ts'

export type * from './probes.ts'

/**
 * When a daemon may create an outbox that is missing: `if mounted` unless /etc/fstab names a mount point above it that is not
 * mounted, `always`, or `never`.
 */
export type Creation = 'if mounted' | 'always' | 'never'

/** Where an opened outbox comes from. */
export interface OutboxOrigin {
  /** Whether this start has created it. */
  readonly isNew: boolean
  /** In epoch milliseconds. Of an outbox from before this was recorded: the earliest instant in it. */
  readonly createdAt: number
  /** Names this relay to others, across restarts: 16 hex digits. A copy of the outbox has the same. */
  readonly relayId: string
  /** Whether the last relay on the outbox ended without stopping gracefully. */
  readonly endedUnexpectedly: boolean
  /** Deliveries that were leased when relays ended unexpectedly, twice or more in a row; see `Outbox.claim`. */
  readonly interrupted: number
}

/**
 * The durable store of events and deliveries. Every method is one transaction, and what it reports as done is on disk.
 * All instants are epoch milliseconds and are passed in.
 *
 * Rejections (of promises) carry a `RelayError`: `outbox_unavailable` when nothing was changed and trying again later
 * makes sense (disk full, database locked by somebody), `outbox_failed` when the storage can no longer be trusted: the
 * process should end.
 */
export interface Outbox
  extends ReconciliationStore,
    AwaitedEventStore,
    ProviderStateStore,
    AttachmentStore,
    RetentionStore {
  /**
   * Records a genuine event with these deliveries, pending and due at once; or, if an event of the same account, name
   * and call id is on record, counts a duplicate. A duplicate through another source of the account is delivered to those
   * of its targets that have no delivery of the event yet, unless it was pruned; any other changes nothing.
   */
  record(event: NewEvent, deliveries: readonly NewDelivery[]): Promise<Recorded>

  /** Keeps a request that was not taken. Bounded: old ones make room. */
  reject(rejection: Rejection): Promise<void>

  /**
   * Leases up to `limit` due deliveries of a target: live ones before background ones, except that one of ten is a background one
   * while both are due; and then the one that is due first. Of an ordered call only the oldest unfinished one is leased, and none
   * while an attempt of the call is under way. A leased delivery is not claimed again until it is settled or released. A lease
   * dies with the process; its delivery is then pending as before.
   *
   * In a run that follows an unexpected end, starts are recorded: a delivery that was leased when the relay ended unexpectedly
   * once more is leased after a delay and not beside another of its kind, and carries the number of its interrupted `starts`.
   */
  claim(target: string, limit: number, now: number, options?: ClaimOptions): Promise<Claim>

  /**
   * Ends a lease and records the attempt. A delivery that was retried or cancelled since it was leased stays as it is, unless a
   * retried one is now delivered. A delivery that is not leased is `gone`.
   */
  settle(delivery: Delivery, attempt: Attempt, settlement: Settlement): Promise<Settled>

  /** Ends a lease as if it had never been: the delivery stays pending and due as it was. */
  release(delivery: Delivery): Promise<void>

  /**
   * Records how the configuration now treats its targets, and brings their unfinished deliveries in line with it. Works in
   * short steps: it has to be called again until it returns no target. Returns those whose deliveries are not all in line yet,
   * so that the others need not wait for them. Targets that are not named are missing from the configuration.
   */
  applyTargets(targets: readonly TargetSettings[], now: number): Promise<readonly string[]>

  /**
   * Stops the windows (`giveUpAfter`) of all deliveries until targets are applied again: the relay is about to end. Outboxes that
   * are opened after a crash have stopped them at the last sign of the relay.
   */
  suspendTargets(now: number): Promise<void>

  /** Leaves time out of all windows: the process was frozen, the machine suspended, or its clock set forward. */
  skipTime(ms: number): Promise<void>

  /** What is kept of each target that was ever paused, or whose breaker has ever opened. */
  targetStates(): Promise<TargetState[]>

  /** Keeps a target's breaker: open (with when to probe, and after how long), or closed (null). */
  saveBreaker(target: string, breaker: OpenBreaker | null, now: number): Promise<void>

  /** Keeps until when a target is throttled, or that it is not (null). */
  saveThrottle(target: string, throttle: SavedThrottle | null, now: number): Promise<void>

  /** Since when a target's oldest due delivery is due; null where none is. */
  oldestDueAt(target: string, now: number): Promise<number | null>

  /** What waits at a target behind dead deliveries of its calls; null where nothing does. */
  heldBacklog(target: string): Promise<HeldBacklog | null>

  /** How much is due and held at these targets, and dead at any: read quickly, however much it is. */
  tally(targets: readonly string[], now: number): Promise<Tally>

  /**
   * One page of the attempts on record, the latest first: `limit` attempts before `before` (null: from the end), or fewer
   * where one has ended before `since`.
   */
  attemptsBefore(before: number | null, since: number, limit: number): Promise<AttemptPage>

  /** The names of all targets that have unfinished deliveries. */
  targetsWithDeliveries(): Promise<string[]>

  /**
   * The newest events of a source with one of these names, the oldest of them first, with their bodies; an empty body where
   * it was pruned.
   */
  newestEvents(source: string, names: readonly string[], limit: number): Promise<NewestEvent[]>

  /** Records that secrets of a source have signed a genuine event: their fingerprints in order, with a space between. */
  saveSecretUse(source: string, fingerprint: string, at: number): Promise<void>

  /**
   * Answers a recall: all that was claimed when it was requested is given back, and these attempts are under way. See
   * `RecallDesk`.
   */
  answerRecall(request: number, underWay: readonly AttemptUnderWay[]): Promise<void>

  /** The requests to probe a target now that are not answered, see `ProbeDesk`. */
  probeRequests(): Promise<ProbeRequest[]>

  /** Answers a request to probe a target. */
  answerProbe(target: string, request: number, result: ProbeResult): Promise<void>

  /** Says who runs and how, for the commands; replaces what was said before. */
  saveDaemon(state: DaemonState): Promise<void>

  /** Finishes what is under way and closes the store. */
  close(): Promise<void>
}

export interface NewestEvent {
  readonly event: string
  readonly body: Uint8Array
}

export interface Recorded {
  /** The id of the event on record: for a duplicate, the first one's. */
  readonly eventId: string
  readonly duplicate: boolean
  /** The targets for which a delivery was created. */
  readonly targets: readonly string[]
  /** The deliveries that were to be leased at once and are: as if claimed. */
  readonly leased: readonly Delivery[]
}

export interface ClaimOptions {
  /**
   * What falls due after this instant is due now: only a clock that was ahead can have put it off so far. It is not before the
   * longest delay last applied has passed.
   */
  readonly latest?: number
  /** Claims the delivery that says most about the target's health: one that has not failed, or else the least tried one. */
  readonly probe?: boolean
  /** Whether deliveries that are due later are claimed as if they were due now. */
  readonly early?: boolean
  /** Stops before the bodies exceed this many bytes. */
  readonly maxBytes?: number
  /** Whether the first delivery is claimed even if its body alone exceeds `maxBytes`. */
  readonly atLeastOne?: boolean
}

/**
 * What a settlement came to. `settled`: the delivery is as the settlement says. `retried`: a retry was given during the attempt,
 * which failed; the delivery is pending, due as the retry made it, with a fresh budget. `cancelled`: it was cancelled during the
 * attempt, and stays so. `erased`: the same, and its call was erased. In all these cases the attempt is on record, of an erased call
 * without what the target said. `gone`: the delivery is no longer on record, or was not
 * leased, and the attempt is not recorded.
 */
export type Settled = 'settled' | 'retried' | 'cancelled' | 'erased' | 'gone'

/** How the configuration treats a target's queue. */
export interface TargetSettings {
  readonly target: string
  readonly order: CallOrderSetting
  /** Whether the configuration pauses the target. */
  readonly paused: boolean
  /** The longest delay, jitter included, that the retry policy gives a delivery, in milliseconds. */
  readonly maxDelayMs: number
}

/** `none`: not ordered. Else per call, and a dead delivery releases the rest of its call, or holds it. */
export type CallOrderSetting = 'none' | 'release' | 'hold'

export interface Claim {
  readonly deliveries: Delivery[]
  /** Live deliveries that are not leased may be due now. Absent: none is. */
  readonly isLiveDue?: true
  /** When the target's next delivery that is neither leased nor in this claim falls due; null where there is none. */
  readonly nextDueAt: number | null
  /** The size of the body before which `maxBytes` has stopped the claim; absent where it has not. */
  readonly nextBytes?: number
}

/** When an attempt on record began and ended (epoch milliseconds). */
export interface PastAttempt {
  readonly target: string
  readonly deliveryId: number
  readonly startedAt: number
  readonly endedAt: number
}

export interface AttemptPage {
  readonly attempts: readonly PastAttempt[]
  /** `before` for the next page; null after the last one. */
  readonly next: number | null
}

/** Deliveries behind dead ones of their calls, counted up to a limit. */
export interface HeldBacklog {
  readonly deliveries: number
  /** The number of calls that they belong to. */
  readonly calls: number
  /** Since when the longest waiting of them has been due. */
  readonly since: number
}

/** Numbers of deliveries, counted up to `TALLIED`. */
export interface Tally {
  readonly due: number
  /** Behind dead deliveries of their calls. */
  readonly held: number
  readonly dead: number
}

/** More than so many of a kind are not counted: it would take time, and nobody needs to know. */
export const TALLIED = 10_000

/** What is kept of a target besides its deliveries. */
export interface TargetState {
  readonly target: string
  readonly paused: boolean
  readonly breaker: OpenBreaker | null
  /** Null where the target has asked for no pause that may still last. */
  readonly throttle: SavedThrottle | null
}

/** A pause that a target has asked for. */
export interface SavedThrottle {
  /** Epoch milliseconds. */
  readonly until: number
  /** Throttled attempts in a row. */
  readonly inARow: number
}

export interface OpenBreaker {
  /** When one attempt may be made to see (epoch milliseconds). */
  readonly probeAt: number
  readonly cooldownMs: number
  /** The delivery whose probe failed last; absent where none has. */
  readonly lastProbe?: number
  /** A digest of the target's configuration under which the circuit is open; absent where it is not known. */
  readonly configHash?: string
}

/** Requests to a path that nothing listens on. */
export interface UnknownPath {
  readonly method: string
  readonly path: string
  readonly peer: string
  readonly count: number
  /** In epoch milliseconds. */
  readonly lastAt: number
  /** Whether one of them had a header of the provider's signature. */
  readonly isSigned: boolean
}

/** What a daemon tells of itself. */
export interface DaemonState {
  readonly pid: number
  readonly version: string
  /** Where it listens, such as `127.0.0.1:8080`. */
  readonly listen: string
  /** Absolute. */
  readonly configFile: string
  readonly startedAt: number
  /** How often it has tried to read its configuration anew. */
  readonly reloads: number
  /** When it did last; null where it has not. */
  readonly reloadedAt: number | null
  /** Why the last time changed nothing; null where it worked. */
  readonly reloadProblem: string | null
  /** The number of the last reload request that was served, see `OutboxOperator.requestReload`; 0: none since the start. */
  readonly answeredReload: number
  /** Fingerprints of the secrets that each source goes by now. */
  readonly secrets: Readonly<Record<string, readonly string[]>>
  /** What the commands need of the configuration that is in use, without secrets, as JSON has it; null where it is not on record. */
  readonly configuration: unknown
  /** What the last reload has changed, by name and without values; empty where there was none, or it changed nothing. */
  readonly reloadChanges: readonly string[]
  /** Requests of the last day to paths that nothing listens on, the most recent first; up to a minute old. */
  readonly unknownPaths: readonly UnknownPath[]
}

/** An attempt that has started and not ended. */
export interface AttemptUnderWay {
  readonly deliveryId: number
  readonly target: string
  /** Epoch milliseconds. */
  readonly startedAt: number
}

/** A request that was not taken. */
export interface Rejection {
  readonly source: string
  readonly receivedAt: number
  readonly reason: RefusalCode
  /** By which it is in the log. */
  readonly requestId: string
  /** The client's address. */
  readonly peer: string
  /** Size of the body, or what Content-Length said where it was not read; null where neither is known. */
  readonly bytes: number | null
  /** The headers that the verification looked at, as JSON. */
  readonly headers: string
  /** Only where the sender's signature was valid: then the request may hold a genuine event that can still be saved. */
  readonly kept: { readonly body: Uint8Array; readonly contentType: string | null } | null
}
