import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '../domain/clock.ts'
import { errorMessage } from '../domain/errors.ts'
import type {
  ExpectedEvent,
  ProviderState,
  ProviderStateStore,
  ReconciliationStore,
  UnreadableCalls,
  UntoldGaps,
  WebhookProblem,
} from '../outbox/reconciliation.ts'
import type { Webhook } from './client.ts'
import { type Findings, type MissedEvent, totalOf } from './reconciler.ts'
import type { ListResult, Sweeps } from './sweeps.ts'
import type { WantedWebhook } from './webhook-difference.ts'
import { webhookProblems } from './webhook-health.ts'

export interface ProviderWatchOptions {
  readonly source: string
  readonly everyMs: number
  /** Null where nothing is reconciled. */
  readonly sweeps: Sweeps | null
  /** Null where no webhook is configured. */
  readonly webhook: WantedWebhook | null
  readonly listWebhooks: (signal: AbortSignal) => Promise<readonly Webhook[]>
  readonly store: ReconciliationStore & ProviderStateStore
  /** When the source last had a genuine webhook; before the first, when the listening began. Epoch milliseconds. */
  readonly heardAt: () => number
  readonly news: ProviderNews
  readonly clock: Clock
}

/** What is told of the provider's side. */
export interface ProviderNews {
  /**
   * A sweep has ended; `complete` unless something failed. `unreadable`: the lists in which something cannot be read, and
   * what.
   */
  swept(findings: Findings, unreadable: readonly UnreadableCalls[], complete: boolean): void
  /** Calls cannot be read in full that could be before, or had not been seen. */
  unreadable(calls: UnreadableCalls): void
  /** All calls can be read again. */
  readable(): void
  /** Events that can never be had and were not told of. */
  gaps(gaps: UntoldGaps): void
  /** Events have happened, and no webhook has come since (epoch milliseconds). */
  silent(since: number, missed: MissedSince): void
  /** Something is wrong with the webhook that was not before. */
  webhookProblem(problem: WebhookProblem): void
  /** Nothing is wrong with it any more. */
  webhookRestored(): void
  /**
   * Something could not be done: `first` unless that was so the last time too. It is tried again at the next. What the
   * provider has to do with it is a `ProviderError`.
   */
  failed(error: unknown, first: boolean): void
}

/** Events that a source has missed: how many, and the first of them. */
export interface MissedSince {
  readonly count: number
  readonly events: readonly ExpectedEvent[]
}

/** So many events are named where there are many. */
const NAMED = 100

const NOTHING: ProviderState = { swept: null, problem: null, webhook: null }

/** Looks at the provider's side at once and then time and again, until it is stopped. */
export class ProviderWatch {
  readonly #options: ProviderWatchOptions
  readonly #abort = new AbortController()
  readonly #running: Promise<void>
  #state = NOTHING
  #toldSilentSince: number | undefined

  constructor(options: ProviderWatchOptions) {
    this.#options = options
    this.#running = this.#run()
  }

  /** Cuts short what is under way; the next start goes on there. */
  async stop(): Promise<void> {
    this.#abort.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort
    const { store, source, everyMs } = this.#options
    // What was told before the last start or reload is not news.
    await this.#attempt(async () => {
      this.#state = (await store.providerState(source)) ?? NOTHING
    })
    while (!signal.aborted) {
      await this.#look()
      await sleep(everyMs, undefined, { signal, ref: false }).catch(() => {})
    }
  }

  /** Each part by itself: where one fails, the others are looked at all the same. */
  async #look(): Promise<void> {
    const { signal } = this.#abort
    const { news, store, source, clock } = this.#options
    const failures: unknown[] = []
    for (const part of [() => this.#sweep(), () => this.#lookAtWebhook(), () => this.#tellOfGaps()]) {
      const failure = await this.#attempt(part)
      if (signal.aborted) return
      if (failure !== undefined) failures.push(failure.error)
    }
    const first = this.#state.problem === null
    for (const error of failures) news.failed(error, first)
    const problem = failures.length === 0 ? null : { at: clock.now(), message: errorMessage(failures[0]) }
    this.#state = { ...this.#state, problem }
    const unsaved = await this.#attempt(() => store.saveProviderState(source, this.#state, clock.now()))
    if (unsaved !== undefined) news.failed(unsaved.error, false)
  }

  async #attempt(work: () => Promise<void>): Promise<{ error: unknown } | undefined> {
    try {
      await work()
      return undefined
    } catch (error) {
      return { error }
    }
  }

  /** One sweep over the calls and one over the deleted ones, or the rest of those that were cut off. */
  async #sweep(): Promise<void> {
    const { sweeps, news, clock } = this.#options
    if (sweeps === null) {
      this.#state = { ...this.#state, unreadable: [] }
      return
    }
    const missed = new Missed(this.#options.heardAt())
    const known = this.#state.unreadable ?? []
    const since = known.length === 0 ? null : Math.min(...known.map((each) => each.since))
    const { findings, lists, again } = await sweeps.run((event) => missed.add(event), since, this.#abort.signal)
    this.#tellOfSilence(missed)
    const unreadable = lists.flatMap((result) => unreadableIn(result, known, clock.now()))
    for (const each of unreadable) {
      if (!known.some(({ list }) => list === each.list)) news.unreadable(each)
    }
    if (known.length > 0 && unreadable.length === 0) news.readable()
    this.#state = { ...this.#state, unreadable }
    const [calls, deleted] = lists.map(({ failure }) => failure)
    const failure = calls ?? again ?? deleted
    news.swept(findings, unreadable, failure === undefined)
    if (calls === undefined) {
      const swept = { at: clock.now(), calls: findings.calls, recorded: totalOf(findings, 'recorded') }
      this.#state = { ...this.#state, swept }
    }
    if (failure !== undefined) throw failure.error
  }

  #tellOfSilence({ since, count, events }: Missed): void {
    if (count === 0 || since === this.#toldSilentSince) return
    this.#toldSilentSince = since
    this.#options.news.silent(since, { count, events })
  }

  /** From the outbox, where backfill puts some too, and what was found before a crash waits. */
  async #tellOfGaps(): Promise<void> {
    const { store, source, news } = this.#options
    const gaps = await store.untoldGaps(source, NAMED)
    if (gaps.count === 0) return
    news.gaps(gaps)
    await store.gapsTold(source, gaps.foundUntil)
  }

  async #lookAtWebhook(): Promise<void> {
    const { webhook, listWebhooks, news, clock } = this.#options
    if (webhook === null) return
    const problems = webhookProblems(webhook, await listWebhooks(this.#abort.signal))
    const known = this.#state.webhook?.problems ?? []
    for (const problem of problems) {
      if (!known.some(({ kind }) => kind === problem.kind)) news.webhookProblem(problem)
    }
    if (known.length > 0 && problems.length === 0) news.webhookRestored()
    this.#state = { ...this.#state, webhook: { at: clock.now(), problems } }
  }
}

/** What cannot be read in a list now. Only a full pass shows that all can: others read a part of it. */
function unreadableIn(
  { list, findings, full }: ListResult,
  known: readonly UnreadableCalls[],
  now: number,
): UnreadableCalls[] {
  const before = known.find((each) => each.list === list)
  const { count, first, callId, field } = findings.unreadable
  if (first === null) return before === undefined || full ? [] : [before]
  const most = full ? count : Math.max(count, before?.count ?? 0)
  return [{ list, since: before?.since ?? now, count: most, callId, field, problem: first }]
}

/** Events that have happened since an instant and had to be fetched. */
class Missed {
  readonly since: number
  readonly events: ExpectedEvent[] = []
  count = 0

  constructor(since: number) {
    this.since = since
  }

  add({ event, callId, at }: MissedEvent): void {
    if (at === null || at <= this.since) return
    this.count += 1
    if (this.events.length < NAMED) this.events.push({ event, callId })
  }
}
