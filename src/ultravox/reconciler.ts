import type { Clock } from '../domain/clock.ts'
import { RelayError } from '../domain/errors.ts'
import { LIFECYCLE_EVENTS } from '../domain/sample-event.ts'
import type {
  AwaitedCall,
  AwaitedEvent,
  AwaitedEventStore,
  DueCall,
  ExpectedEvent,
  ReconciliationStore,
  SweepPlace,
} from '../outbox/reconciliation.ts'
import type { Call, DeletedCall, Page, UltravoxClient } from './client.ts'
import { type CallProgress, eventBody, isReadable, lifecycleOf, mayStillHave } from './lifecycle.ts'
import type { Unreadable } from './pages.ts'
import { ProviderError } from './provider-error.ts'

export interface ReconcilerOptions {
  readonly client: Pick<UltravoxClient, 'listCalls' | 'listDeletedCalls' | 'lookUpCall'>
  readonly store: Pick<ReconciliationStore, 'missingEvents' | 'saveGaps'>
  /** Keeps what calls still lack, so that they can be looked at again by themselves. Null: nothing is kept. */
  readonly memory: Pick<AwaitedEventStore, 'awaitedOf' | 'saveAwaited'> | null
  readonly source: string
  /** The provider account that the source belongs to: the scope of an event's identity. */
  readonly account: string
  /** The names of the events that should come. */
  readonly events: readonly string[]
  /** Of this agent's calls only; null: of all. */
  readonly agentId: string | null
  /** How late an event may be before it is missed: the provider tries again by itself first. */
  readonly graceMs: number
  /**
   * Records an event as if it had come in; false if another was faster. Throws `payload_invalid` where the call cannot be
   * an event. Null: only looks, and records neither events nor gaps.
   */
  readonly take: ((body: Buffer) => Promise<boolean>) | null
  readonly clock: Clock
}

/** What came of looking, so far. */
export interface Findings {
  /** Calls that were listed, without those of which not even the id could be read. */
  calls: number
  /** Tombstones that were listed. */
  deleted: number
  /** Calls that could not be read in full, and one of them. */
  unreadable: UnreadableFindings
  /** When the newest of the calls was created, by the provider's clock; null: none was seen. */
  newest: number | null
  /** By the names of events. */
  readonly counts: Map<string, EventCounts>
  /** Told of each event that was not there and is now. */
  readonly onRecorded: (event: MissedEvent) => void
}

export interface UnreadableFindings {
  count: number
  /** Of these: calls of which nothing was used. */
  dropped: number
  /** A sentence about the first. */
  first: string | null
  /** Its id; null where that cannot be read either. */
  callId: string | null
  field: string
}

/** How many calls stand how with one event. Together they are all calls and deleted calls that were listed. */
export interface EventCounts {
  /** On record already. */
  there: number
  /** Not on record, and not so recent that they may still be on their way. */
  missing: number
  /** Of the missing: fetched. */
  recorded: number
  /** Of the missing: their calls were deleted at the provider, so they can never be had. */
  unrecoverable: number
  /** Not on record, and so recent that they may still be on their way. */
  tooRecent: number
  /** The call has not had it, or its tombstone does not say. */
  notHappened: number
  /** Whether the call has had it cannot be read. */
  unreadable: number
}

export interface MissedEvent extends ExpectedEvent {
  /** When it happened, in epoch milliseconds; null where the call does not say. */
  readonly at: number | null
}

/** Of all events together. */
export function totalOf({ counts }: Findings, what: keyof EventCounts): number {
  return [...counts.values()].reduce((total, each) => total + each[what], 0)
}

export type Arrived = (place: SweepPlace, total: number | null) => Promise<void>

type List<T> = (options: Parameters<UltravoxClient['listCalls']>[0]) => AsyncGenerator<Page<T>, void, undefined>

export function noFindings(onRecorded: Findings['onRecorded'] = () => {}): Findings {
  const unreadable = { count: 0, dropped: 0, first: null, callId: null, field: '' }
  return { calls: 0, deleted: 0, unreadable, newest: null, counts: new Map(), onRecorded }
}

/** Longer ids are cut where they are shown. */
const SHOWN_ID = 100

/** Single calls requested at a time. */
const AT_ONCE = 4
/** Single calls that may fail before the rest is left to the next sweep. */
const MOST_FAILURES = 5

const DAY_MS = 86_400_000
/** Calls older than a day are looked at again after this part of their age: hardly any of them change. */
const PART_OF_AGE = 1 / 24

/**
 * Looks for events that calls must have had and that have not come, and records them. To look at a call again changes
 * nothing, so whatever is in doubt is looked at again.
 */
export class Reconciler {
  readonly #options: ReconcilerOptions
  /** In the order of a call's life. */
  readonly #events: readonly string[]

  constructor(options: ReconcilerOptions) {
    this.#options = options
    this.#events = LIFECYCLE_EVENTS.filter((event) => options.events.includes(event))
  }

  /**
   * Looks at all calls from `place` on, page by page, up to `mostPages`. `arrived` gets the next place once everything
   * before it is on record, with the total number of calls where the provider says so. Rejects as the provider or the
   * outbox does; what was found until then is in `findings`.
   */
  lookThroughCalls(
    place: SweepPlace,
    findings: Findings,
    arrived: Arrived,
    signal: AbortSignal,
    mostPages = Number.POSITIVE_INFINITY,
  ): Promise<void> {
    const { listCalls } = this.#options.client
    const lookAt = (calls: readonly Call[]) => this.#lookAt(calls, findings)
    return this.#lookThrough(listCalls, place, findings, arrived, signal, mostPages, lookAt)
  }

  /** The same of the calls that have been deleted: what has not come of them can never be had. */
  lookThroughDeleted(
    place: SweepPlace,
    findings: Findings,
    arrived: Arrived,
    signal: AbortSignal,
    mostPages = Number.POSITIVE_INFINITY,
  ): Promise<void> {
    const { listDeletedCalls } = this.#options.client
    const lookAt = (calls: readonly DeletedCall[]) => this.#lookAtDeleted(calls, findings)
    return this.#lookThrough(listDeletedCalls, place, findings, arrived, signal, mostPages, lookAt)
  }

  /**
   * Looks at calls one by one. Returns those that the provider no longer has. Where some fail, the others are looked at
   * all the same, and it rejects in the end.
   */
  async lookUpCalls(calls: readonly DueCall[], findings: Findings, signal: AbortSignal): Promise<DueCall[]> {
    const gone: DueCall[] = []
    const failed: DueCall[] = []
    const failures: unknown[] = []
    for (let at = 0; at < calls.length && failed.length < MOST_FAILURES; at += AT_ONCE) {
      const some = calls.slice(at, at + AT_ONCE)
      const answers = await Promise.allSettled(
        some.map(({ callId }) => this.#options.client.lookUpCall(callId, signal)),
      )
      signal.throwIfAborted()
      const found: Call[] = []
      for (const [index, answer] of answers.entries()) {
        if (answer.status === 'rejected') {
          // Neither a limit nor a network is a matter of one call.
          if (!isAnswer(answer.reason)) throw answer.reason
          failures.push(answer.reason)
          failed.push(some[index]!)
          continue
        }
        const { items, unreadable } = answer.value
        noteUnreadable(findings, unreadable)
        if (items.length === 0 && unreadable.length === 0) gone.push(some[index]!)
        found.push(...items)
      }
      await this.#lookAt(found, findings)
    }
    // Or the same ones would come first the next time, and the others would never have their turn.
    await this.putOff(failed)
    if (failures.length > 0) throw failures[0]
    return gone
  }

  /** For calls of which the provider has neither the call nor a tombstone: they are looked at again later. */
  async putOff(calls: readonly DueCall[]): Promise<void> {
    const { memory, source, clock } = this.#options
    if (memory === null || calls.length === 0) return
    const now = clock.now()
    const awaited = await memory.awaitedOf(
      source,
      calls.map(({ callId }) => callId),
    )
    const later = awaited.map((call) => {
      const lookAt = this.#nextLook(call.createdAt, now)
      return { ...call, events: call.events.map((event) => ({ ...event, lookAt })) }
    })
    await memory.saveAwaited(source, later)
  }

  async #lookThrough<T>(
    list: List<T>,
    place: SweepPlace,
    findings: Findings,
    arrived: Arrived,
    signal: AbortSignal,
    mostPages: number,
    lookAt: (items: readonly T[]) => Promise<void>,
  ): Promise<void> {
    let pages = 0
    for await (const { items, unreadable, next, total } of this.#pages(list, place, signal)) {
      noteUnreadable(findings, unreadable)
      await lookAt(items)
      if (next !== null) await arrived({ ...place, page: next }, total)
      pages += 1
      if (pages >= mostPages) return
    }
  }

  /** A place in a list that was kept for long may be one no more; then the list is begun anew. */
  async *#pages<T>(
    list: List<T>,
    { from, to, page }: SweepPlace,
    signal: AbortSignal,
  ): AsyncGenerator<Page<T>, void, undefined> {
    const what = { from, to, agentId: this.#options.agentId, signal }
    let pages = list({ ...what, after: page })
    let first: IteratorResult<Page<T>, void>
    try {
      first = await pages.next()
    } catch (error) {
      if (page === null || !isAnswer(error)) throw error
      pages = list(what)
      first = await pages.next()
    }
    if (first.done === true) return
    yield first.value
    yield* pages
  }

  async #lookAt(calls: readonly Call[], findings: Findings): Promise<void> {
    const { take, graceMs, clock } = this.#options
    const now = clock.now()
    const missing = await this.#missing(calls)
    const before = await this.#awaitedOf(calls)
    const after: AwaitedCall[] = []
    for (const call of calls) {
      const { callId, raw } = call
      findings.calls += 1
      if (call.created !== undefined) findings.newest = Math.max(findings.newest ?? call.created, call.created)
      const awaited: AwaitedEvent[] = []
      const moments = lifecycleOf(call)
      for (const event of this.#events) {
        const counts = countsOf(findings, event)
        const moment = moments.find((each) => each.event === event)
        if (!missing.has(keyOf({ event, callId }))) {
          counts.there += 1
        } else if (moment === undefined) {
          counts[isReadable(event, call) ? 'notHappened' : 'unreadable'] += 1
          const lookAt = this.#nextLook(createdOf(call, now), now)
          if (mayStillHave(event, call)) awaited.push({ event, happenedAt: null, lookAt })
        } else {
          const happenedAt = moment.at ?? billedAt(call, before.get(callId), now)
          if (happenedAt > now - graceMs) {
            counts.tooRecent += 1
            awaited.push({ event, happenedAt, lookAt: happenedAt + graceMs })
          } else {
            counts.missing += 1
            if (take !== null) await this.#record({ event, callId, at: moment.at }, raw, findings)
          }
        }
      }
      after.push({ callId, createdAt: createdOf(call, now), deleted: false, events: awaited })
    }
    await this.#saveAwaited(after, before)
  }

  async #record(missed: MissedEvent, raw: Uint8Array, findings: Findings): Promise<void> {
    const { event, callId } = missed
    try {
      if (!(await this.#options.take!(eventBody(event, raw)))) return
    } catch (error) {
      if (!(error instanceof RelayError) || error.code !== 'payload_invalid') throw error
      // One call that cannot be an event must not keep the others from being fetched.
      const problem = `call ${shownId(callId)}: ${error.message}`
      noteUnreadable(findings, [{ callId, field: '', message: error.message, index: 0, problem }])
      return
    }
    countsOf(findings, event).recorded += 1
    findings.onRecorded(missed)
  }

  async #lookAtDeleted(calls: readonly DeletedCall[], findings: Findings): Promise<void> {
    const { store, source, take, graceMs, clock } = this.#options
    const now = clock.now()
    const missing = await this.#missing(calls)
    const before = await this.#awaitedOf(calls)
    const after: AwaitedCall[] = []
    const gaps: ExpectedEvent[] = []
    for (const call of calls) {
      const { callId } = call
      findings.deleted += 1
      // A tombstone says nothing about billing, so whether there was a `call.billed` cannot be known.
      const progress: CallProgress = { ...call, billingStatus: NOT_BILLED }
      const moments = lifecycleOf(progress)
      const awaited: AwaitedEvent[] = []
      for (const event of this.#events) {
        const counts = countsOf(findings, event)
        const at = moments.find((each) => each.event === event)?.at
        if (!missing.has(keyOf({ event, callId }))) {
          counts.there += 1
        } else if (at == null) {
          counts[isReadable(event, progress) ? 'notHappened' : 'unreadable'] += 1
        } else if (at > now - graceMs) {
          counts.tooRecent += 1
          awaited.push({ event, happenedAt: at, lookAt: at + graceMs })
        } else {
          counts.missing += 1
          counts.unrecoverable += 1
          gaps.push({ event, callId })
        }
      }
      after.push({ callId, createdAt: createdOf(call, now), deleted: true, events: awaited })
    }
    if (take !== null && gaps.length > 0) await store.saveGaps(source, gaps, now)
    await this.#saveAwaited(after, before)
  }

  async #missing(calls: readonly { readonly callId: string }[]): Promise<ReadonlySet<string>> {
    const { store, account } = this.#options
    const expected = calls.flatMap(({ callId }) => this.#events.map((event) => ({ event, callId })))
    if (expected.length === 0) return new Set()
    return new Set((await store.missingEvents(account, expected)).map(keyOf))
  }

  async #awaitedOf(calls: readonly { readonly callId: string }[]): Promise<ReadonlyMap<string, AwaitedCall>> {
    const { memory, source } = this.#options
    if (memory === null || calls.length === 0) return new Map()
    const known = await memory.awaitedOf(
      source,
      calls.map(({ callId }) => callId),
    )
    return new Map(known.map((call) => [call.callId, call]))
  }

  async #saveAwaited(calls: readonly AwaitedCall[], before: ReadonlyMap<string, AwaitedCall>): Promise<void> {
    const { memory, source } = this.#options
    const changed = calls.filter(({ callId, events }) => events.length > 0 || before.has(callId))
    if (memory !== null && changed.length > 0) await memory.saveAwaited(source, changed)
  }

  /**
   * What has not happened by now cannot be overdue before the grace has passed once more, so nothing is fetched later for
   * looking no earlier.
   */
  #nextLook(createdAt: number, now: number): number {
    const age = now - createdAt
    return now + Math.max(1, this.#options.graceMs, age > DAY_MS ? Math.round(age * PART_OF_AGE) : 0)
  }
}

const NOT_BILLED = 'BILLING_STATUS_PENDING'

/**
 * Since when a call may have been billed, as early as can be told, for nothing in a call says when it was: since it was
 * first seen billed, if it was seen over and unbilled before; else from its end on. Too early does no harm: the event is
 * recorded, and the webhook that comes is a duplicate.
 */
function billedAt({ ended, created }: Call, before: AwaitedCall | undefined, now: number): number {
  const awaited = before?.events.find(({ event }) => event === 'call.billed')
  const wasOver = !before?.events.some(({ event, happenedAt }) => event === 'call.ended' && happenedAt === null)
  if (awaited !== undefined && (awaited.happenedAt !== null || wasOver)) return awaited.happenedAt ?? now
  return ended ?? created ?? now
}

/** A clock that is ahead must not keep a call indefinitely. */
function createdOf({ created, joined, ended }: Omit<CallProgress, 'billingStatus'>, now: number): number {
  return Math.min(created ?? joined ?? ended ?? now, now)
}

function noteUnreadable({ unreadable }: Findings, found: readonly Unreadable[]): void {
  const [first] = found
  if (first === undefined) return
  unreadable.count += new Set(found.map(({ index }) => index)).size
  const dropped = found.filter(({ callId, field }) => callId === null || field === '')
  unreadable.dropped += new Set(dropped.map(({ index }) => index)).size
  if (unreadable.first !== null) return
  unreadable.first = first.problem
  unreadable.callId = first.callId === null ? null : shownId(first.callId)
  unreadable.field = first.field
}

function shownId(callId: string): string {
  return callId.length <= SHOWN_ID ? callId : `${callId.slice(0, SHOWN_ID)}…`
}

function countsOf({ counts }: Findings, event: string): EventCounts {
  const none = { there: 0, missing: 0, recorded: 0, unrecoverable: 0, tooRecent: 0, notHappened: 0, unreadable: 0 }
  const known = counts.get(event) ?? none
  counts.set(event, known)
  return known
}

function keyOf({ event, callId }: ExpectedEvent): string {
  return `${event} ${callId}`
}

/** Whether the provider has answered, and would answer so again. */
function isAnswer(error: unknown): boolean {
  return error instanceof ProviderError && error.status !== undefined && error.status !== 429
}
