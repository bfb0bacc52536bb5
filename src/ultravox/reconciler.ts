import type { Clock } from '../domain/clock.ts'
import type { ExpectedEvent, ReconciliationStore, SweepPlace } from '../outbox/reconciliation.ts'
import type { Call, DeletedCall, Page, UltravoxClient } from './client.ts'
import { eventBody, lifecycleOf } from './lifecycle.ts'
import { ProviderError } from './provider-error.ts'

export interface ReconcilerOptions {
  readonly client: Pick<UltravoxClient, 'listCalls' | 'listDeletedCalls'>
  readonly store: Pick<ReconciliationStore, 'missingEvents' | 'saveGaps'>
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
   * Records an event as if it had come in; false if another was faster. Null: only looks, and records neither events nor
   * gaps.
   */
  readonly take: ((body: Buffer) => Promise<boolean>) | null
  readonly clock: Clock
}

/** What came of looking, so far. */
export interface Findings {
  calls: number
  /** What could not be read of the provider's lists, and why: the first of it. */
  unreadable: { count: number; first: string | null }
  /** By the names of events. */
  readonly counts: Map<string, EventCounts>
  /** Told of each event that was not there and is now. */
  readonly onRecorded: (event: MissedEvent) => void
}

export interface EventCounts {
  /** On record already. */
  there: number
  /** Not on record, and not so recent that they may still be on their way. */
  missing: number
  recorded: number
  /** Their calls were deleted at the provider: they can never be had. */
  unrecoverable: number
}

export interface MissedEvent extends ExpectedEvent {
  /** When it happened, in epoch milliseconds; null where the call does not say. */
  readonly at: number | null
}

/** An event that should have come by now, and how it can be had; null where it cannot. */
interface DueEvent extends MissedEvent {
  readonly raw: Uint8Array | null
}

/** Of all events together. */
export function totalOf({ counts }: Findings, what: keyof EventCounts): number {
  return [...counts.values()].reduce((total, each) => total + each[what], 0)
}

export type Arrived = (place: SweepPlace, total: number | null) => Promise<void>

type List<T> = (options: Parameters<UltravoxClient['listCalls']>[0]) => AsyncGenerator<Page<T>, void, undefined>

export function noFindings(onRecorded: Findings['onRecorded'] = () => {}): Findings {
  return { calls: 0, unreadable: { count: 0, first: null }, counts: new Map(), onRecorded }
}

/**
 * Looks for events that calls must have had and that have not come, and records them. To look at a call again changes
 * nothing, so whatever is in doubt is looked at again.
 */
export class Reconciler {
  readonly #options: ReconcilerOptions
  /** Calls that were over and not billed in the last look, and in the one that is under way. */
  #unbilledBefore: ReadonlySet<string> = new Set()
  #unbilledNow = new Set<string>()
  /** Since when calls seen unbilled are known to be billed: nothing in a call says when it was. */
  #billedSince = new Map<string, number>()

  constructor(options: ReconcilerOptions) {
    this.#options = options
  }

  /**
   * Looks at all calls from `place` on, page by page. `arrived` is told of the next place once all before it is on record,
   * with how many calls there are in all, where the provider says so. Rejects as the provider or the outbox does; what it
   * has found until then is in `findings`.
   */
  async lookThroughCalls(place: SweepPlace, findings: Findings, arrived: Arrived, signal: AbortSignal): Promise<void> {
    this.#unbilledNow = new Set()
    const { listCalls } = this.#options.client
    await this.#lookThrough(listCalls, place, findings, arrived, signal, (calls) => this.#lookAt(calls, findings))
    this.#unbilledBefore = this.#unbilledNow
    this.#forgetOld()
  }

  /** The same of the calls that have been deleted: what has not come of them can never be had. */
  lookThroughDeleted(place: SweepPlace, findings: Findings, arrived: Arrived, signal: AbortSignal): Promise<void> {
    const { listDeletedCalls } = this.#options.client
    return this.#lookThrough(listDeletedCalls, place, findings, arrived, signal, (calls) =>
      this.#lookAtDeleted(calls, findings),
    )
  }

  async #lookThrough<T>(
    list: List<T>,
    place: SweepPlace,
    findings: Findings,
    arrived: Arrived,
    signal: AbortSignal,
    lookAt: (items: readonly T[]) => Promise<void>,
  ): Promise<void> {
    for await (const { items, unreadable, next, total } of this.#pages(list, place, signal)) {
      findings.unreadable.count += unreadable.length
      findings.unreadable.first ??= unreadable[0] ?? null
      await lookAt(items)
      if (next !== null) await arrived({ ...place, page: next }, total)
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
    const { take } = this.#options
    const now = this.#options.clock.now()
    findings.calls += calls.length
    const due = calls.flatMap((call) => this.#dueOf(call, now))
    for (const { event, callId, at, raw } of await this.#missing(due, findings)) {
      if (take === null) continue
      if (!(await take(eventBody(event, raw!)))) continue
      countsOf(findings, event).recorded += 1
      findings.onRecorded({ event, callId, at })
    }
  }

  /** A tombstone tells nothing of billing, so whether there was a `call.billed` cannot be known. */
  async #lookAtDeleted(calls: readonly DeletedCall[], findings: Findings): Promise<void> {
    const { store, source, take, clock } = this.#options
    const now = clock.now()
    const due = calls.flatMap((call) => this.#overdue({ ...call, billingStatus: '' }, now, null))
    const missing = await this.#missing(
      due.filter(({ event }) => event !== 'call.billed'),
      findings,
    )
    for (const { event } of missing) countsOf(findings, event).unrecoverable += 1
    const gaps = missing.map(({ event, callId }) => ({ event, callId }))
    if (take !== null && gaps.length > 0) await store.saveGaps(source, gaps, now)
  }

  #dueOf(call: Call, now: number): DueEvent[] {
    const billed = lifecycleOf(call).some(({ event }) => event === 'call.billed')
    if (!billed && call.ended !== null) this.#unbilledNow.add(call.callId)
    return this.#overdue(call, now, call.raw)
  }

  /** The events that the call has had for longer than the grace. */
  #overdue(
    call: Pick<Call, 'callId' | 'created' | 'joined' | 'ended' | 'billingStatus'>,
    now: number,
    raw: Uint8Array | null,
  ): DueEvent[] {
    const { events, graceMs } = this.#options
    const { callId } = call
    return lifecycleOf(call)
      .filter(({ event, at }) => events.includes(event) && (at ?? this.#billedAt(call, now)) <= now - graceMs)
      .map(({ event, at }) => ({ event, callId, at, raw }))
  }

  /**
   * Since when a call may have been billed, as early as we can tell: from its end on, or since it was seen billed if it
   * was seen unbilled before. Too early does no harm: the event is recorded, and the webhook that comes is a duplicate.
   */
  #billedAt({ callId, created, ended }: Pick<Call, 'callId' | 'created' | 'ended'>, now: number): number {
    if (this.#unbilledBefore.has(callId) && !this.#billedSince.has(callId)) this.#billedSince.set(callId, now)
    return this.#billedSince.get(callId) ?? ended ?? created
  }

  /** What is older than the grace makes no difference any more. */
  #forgetOld(): void {
    const graceAgo = this.#options.clock.now() - this.#options.graceMs
    for (const [callId, since] of this.#billedSince) if (since <= graceAgo) this.#billedSince.delete(callId)
  }

  async #missing(due: readonly DueEvent[], findings: Findings): Promise<DueEvent[]> {
    const { store, account } = this.#options
    const keys = due.map(({ event, callId }) => ({ event, callId }))
    const missing = new Set((await store.missingEvents(account, keys)).map(keyOf))
    for (const each of due) {
      const counts = countsOf(findings, each.event)
      if (missing.has(keyOf(each))) counts.missing += 1
      else counts.there += 1
    }
    return due.filter((each) => missing.has(keyOf(each)))
  }
}

function countsOf({ counts }: Findings, event: string): EventCounts {
  const known = counts.get(event) ?? { there: 0, missing: 0, recorded: 0, unrecoverable: 0 }
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
