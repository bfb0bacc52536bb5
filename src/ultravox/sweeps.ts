import type { Clock } from '../domain/clock.ts'
import type {
  AwaitedEventStore,
  Coverage,
  DueCall,
  ReconciliationStore,
  Sweep,
  SweepPlace,
  UnreadableCalls,
} from '../outbox/reconciliation.ts'
import { PAGE_SIZE } from './client.ts'
import { BrokenList } from './pages.ts'
import { type Arrived, type Findings, noFindings, type Reconciler } from './reconciler.ts'

export interface SweepsOptions {
  readonly reconciler: Pick<Reconciler, 'lookThroughCalls' | 'lookThroughDeleted' | 'lookUpCalls' | 'putOff'>
  readonly store: ReconciliationStore & AwaitedEventStore
  readonly source: string
  /** How far back calls are looked at, by when they were created. */
  readonly lookbackMs: number
  /** Names what is looked for: account, agent, events, grace. Where it changes, all calls are looked at again. */
  readonly scope: string
  readonly clock: Clock
}

/** How a sweep over one of the provider's lists went. */
export interface ListResult {
  readonly list: UnreadableCalls['list']
  readonly findings: Findings
  /** Whether all calls of the lookback were read. */
  readonly full: boolean
  /** Absent: it came to its end. */
  readonly failure?: { readonly error: unknown }
}

export interface SweepResult {
  /** Of all lists together. */
  readonly findings: Findings
  readonly lists: readonly ListResult[]
  /** Why calls that were due could not all be looked at again; absent: they were. */
  readonly again?: { readonly error: unknown }
}

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
/** How far before the last sweep calls are listed again: the provider may list them late, and clocks differ. */
const OVERLAP_MS = 15 * MINUTE_MS
/** How often all calls of the lookback are read: for those listed even later, and for whatever was missed. */
const FULL_EVERY_MS = 24 * HOUR_MS
/** An older position in the list of new calls is dropped, so that a page that keeps failing cannot hide newer calls. */
const PLACE_KEPT_MS = HOUR_MS
/** While calls cannot be read, a full pass is made after this part of the time since then: often at first, then rarely. */
const PART_OF_TROUBLE = 1 / 8
/** Calls on one page for which listing the page is preferred to requesting each. */
const DENSE = 10
/** Due calls read from the outbox at a time. */
const CHUNK = 1_000

/**
 * Sweeps over the provider's calls at a cost of what can still change. A full pass reads every call of the lookback, and
 * the outbox then keeps which events are awaited of which calls. Later sweeps list only the calls created since the last
 * one, and look again at those of which something is awaited: page by page where they lie close together, else one by
 * one. A call that has disappeared is looked up among the deleted ones.
 *
 * A full pass is made once a day, after a change of what is looked for, and while calls cannot be read.
 */
export class Sweeps {
  readonly #options: SweepsOptions
  /** Calls created per millisecond, in the last list read. */
  #density = 0

  constructor(options: SweepsOptions) {
    this.#options = options
  }

  /**
   * One sweep, or the rest of an interrupted one. Failures of the provider or the outbox are in the result: a list that
   * fails does not stop the others. `unreadableSince`: since when calls cannot be read; null: all can.
   */
  async run(
    onRecorded: Findings['onRecorded'],
    unreadableSince: number | null,
    signal: AbortSignal,
  ): Promise<SweepResult> {
    const { reconciler, clock } = this.#options
    const startedAt = clock.now()
    const calls = noFindings(onRecorded)
    const deleted = { ...noFindings(onRecorded), counts: calls.counts }
    const lists = [
      await this.#read('calls', calls, unreadableSince, (place, arrived) =>
        reconciler.lookThroughCalls(place, calls, arrived, signal),
      ),
      await this.#read('deleted calls', deleted, unreadableSince, (place, arrived) =>
        reconciler.lookThroughDeleted(place, deleted, arrived, signal),
      ),
    ]
    const again = await attempt(() => this.#lookAgain(startedAt, calls, deleted, signal))
    const unreadable = calls.unreadable.first === null ? deleted.unreadable : calls.unreadable
    const count = calls.unreadable.count + deleted.unreadable.count
    const findings = { ...calls, deleted: deleted.deleted, unreadable: { ...unreadable, count } }
    return { findings, lists, ...(again && { again }) }
  }

  async #read(
    list: ListResult['list'],
    findings: Findings,
    unreadableSince: number | null,
    look: (place: SweepPlace, arrived: Arrived) => Promise<void>,
  ): Promise<ListResult> {
    const { source, store, clock, lookbackMs } = this.#options
    const name = list === 'calls' ? source : `deleted ${source}`
    let full = false
    const failure = await attempt(async () => {
      const now = clock.now()
      const coverage = await this.#coverage(name, list)
      const kept = await store.sweep(name)
      const until = Math.min(kept?.completedUntil ?? now, now)
      const oldest = until - lookbackMs
      const isFull = this.#needsFull(coverage, oldest, unreadableSince, now)
      const place = (await store.sweep(`full ${name}`))?.current ?? null
      // A full pass that does not come to its end must not keep new calls from being looked at.
      if (!isFull || place !== null) await this.#readNew(name, coverage, kept, findings, look)
      if (!isFull) return
      const start = place ?? { from: oldest, to: now, page: null }
      await this.#readAll(name, coverage, start, findings, look)
      full = true
    })
    return failure === undefined ? { list, findings, full } : { list, findings, full, failure }
  }

  async #coverage(name: string, list: ListResult['list']): Promise<Coverage> {
    const { store, source, scope, clock } = this.#options
    const known = await store.coverage(name)
    if (known?.scope === scope) return known
    // What was awaited may be of calls that are not looked for any more.
    if (list === 'calls') await store.forgetAwaited(source, 0, Number.MAX_SAFE_INTEGER)
    await store.saveSweep(`full ${name}`, { completedUntil: null, current: null }, clock.now())
    const fresh = { scope, from: null, fullAt: null, newest: null }
    await store.saveCoverage(name, fresh)
    return fresh
  }

  #needsFull({ from, fullAt }: Coverage, oldest: number, unreadableSince: number | null, now: number): boolean {
    if (fullAt === null || from === null) return true
    const age = now - fullAt
    // A clock that was set back a little is no reason, nor is one that runs differently.
    if (age >= FULL_EVERY_MS || age <= -HOUR_MS || from > oldest + this.#options.lookbackMs / 10) return true
    return unreadableSince !== null && age >= (now - unreadableSince) * PART_OF_TROUBLE
  }

  /** The calls created since the last sweep, and shortly before that. */
  async #readNew(
    name: string,
    coverage: Coverage,
    kept: Sweep | null,
    findings: Findings,
    look: (place: SweepPlace, arrived: Arrived) => Promise<void>,
  ): Promise<void> {
    const { store, source, clock, lookbackMs } = this.#options
    const { fullAt, from: fullFrom } = coverage
    const now = clock.now()
    const completedUntil = kept?.completedUntil ?? null
    const newest = (await store.coverage(source))?.newest ?? null
    const until = Math.min(completedUntil ?? now, now)
    // Ours may be ahead of the provider's clock, and would then pass calls over that are newer than all seen. Of those seen,
    // only the newest is listed again: in a quiet account it would otherwise be all that were created shortly before it.
    const seenUntil = newest ?? fullFrom ?? until
    const fresh = { from: Math.max(Math.min(until - OVERLAP_MS, seenUntil), until - lookbackMs), to: now, page: null }
    const isNew = kept?.current == null || Math.abs(now - kept.current.to) > PLACE_KEPT_MS
    const start = isNew ? fresh : kept.current!
    const before = findings.calls
    await this.#following(name, completedUntil, start, look)
    if (name === source) this.#density = (findings.calls - before) / Math.max(1, now - start.from)
    if (findings.newest !== null) await store.saveCoverage(name, { ...coverage, newest: findings.newest })
    // Before the first full pass, calls created earlier have not been looked at.
    const done = fullAt === null ? completedUntil : Math.max(start.to, Math.min(completedUntil ?? 0, now))
    await store.saveSweep(name, { completedUntil: done, current: null }, clock.now())
  }

  async #readAll(
    name: string,
    coverage: Coverage,
    start: SweepPlace,
    findings: Findings,
    look: (place: SweepPlace, arrived: Arrived) => Promise<void>,
  ): Promise<void> {
    const { store, clock } = this.#options
    await this.#following(`full ${name}`, null, start, look)
    const now = clock.now()
    const newest = findings.newest ?? coverage.newest
    this.#density = findings.calls / Math.max(1, now - start.from) || this.#density
    await store.saveCoverage(name, { ...coverage, from: start.from, fullAt: now, newest })
    const kept = await store.sweep(name)
    const completedUntil = Math.max(start.to, Math.min(kept?.completedUntil ?? 0, now))
    await store.saveSweep(name, { completedUntil, current: kept?.current ?? null }, now)
    await store.saveSweep(`full ${name}`, { completedUntil: null, current: null }, now)
  }

  /** Keeps the position after each page, except in a broken list. */
  async #following(
    name: string,
    completedUntil: number | null,
    start: SweepPlace,
    look: (place: SweepPlace, arrived: Arrived) => Promise<void>,
  ): Promise<void> {
    const { store, clock } = this.#options
    const save = (current: SweepPlace | null) => store.saveSweep(name, { completedUntil, current }, clock.now())
    try {
      await look(start, save)
    } catch (error) {
      if (error instanceof BrokenList) await save(null)
      throw error
    }
  }

  /** The calls of which something is awaited that may have happened by now. */
  async #lookAgain(startedAt: number, calls: Findings, deleted: Findings, signal: AbortSignal): Promise<void> {
    const { store, source, lookbackMs, reconciler } = this.#options
    const until = Math.min((await store.sweep(source))?.completedUntil ?? startedAt, startedAt)
    await store.forgetAwaited(source, startedAt, until - lookbackMs)
    const stillDue = async (among: readonly DueCall[]) => {
      const due = new Set((await store.dueCalls(source, startedAt, CHUNK)).map(({ callId }) => callId))
      return among.filter(({ callId }) => due.has(callId))
    }
    const done = new Set<string>()
    for (;;) {
      const due = (await store.dueCalls(source, startedAt, CHUNK)).filter(({ callId }) => !done.has(callId))
      if (due.length === 0) return
      for (const { callId } of due) done.add(callId)
      const there = due.filter((call) => !call.deleted)
      for (const { from, to, pages } of this.#stretches(there)) {
        await reconciler.lookThroughCalls({ from, to, page: null }, calls, notKept, signal, pages)
      }
      const gone = await reconciler.lookUpCalls(await stillDue(there), calls, signal)
      const tombstones = [...due.filter((call) => call.deleted), ...gone]
      for (const { from, to, pages } of this.#stretches(tombstones)) {
        await reconciler.lookThroughDeleted({ from, to, page: null }, deleted, notKept, signal, pages)
      }
      for (const { createdAt } of await stillDue(tombstones)) {
        await reconciler.lookThroughDeleted({ from: createdAt, to: createdAt, page: null }, deleted, notKept, signal)
      }
      await reconciler.putOff(await stillDue(due))
    }
  }

  /** Periods in which these calls lie so close together that pages are cheaper, and how many pages each is worth. */
  #stretches(due: readonly DueCall[]): { readonly from: number; readonly to: number; readonly pages: number }[] {
    const pageMs = this.#density === 0 ? 0 : PAGE_SIZE / this.#density
    const times = due.map(({ createdAt }) => createdAt).sort((a, b) => a - b)
    const stretches: { from: number; to: number; last: number; first: number }[] = []
    for (let first = 0; first + DENSE <= times.length; first++) {
      const last = first + DENSE - 1
      if (times[last]! - times[first]! > pageMs) continue
      const open = stretches.at(-1)
      if (open !== undefined && open.last >= first) Object.assign(open, { last, to: times[last]! })
      else stretches.push({ from: times[first]!, to: times[last]!, first, last })
    }
    return stretches.map(({ from, to, first, last }) => ({
      from,
      to,
      pages: Math.ceil((last - first + 1) / DENSE) + 1,
    }))
  }
}

const notKept: Arrived = async () => {}

async function attempt(work: () => Promise<void>): Promise<{ readonly error: unknown } | undefined> {
  try {
    await work()
    return undefined
  } catch (error) {
    return { error }
  }
}
