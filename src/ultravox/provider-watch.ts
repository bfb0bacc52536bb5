import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '../domain/clock.ts'
import { errorMessage } from '../domain/errors.ts'
import type {
  ExpectedEvent,
  FailingPart,
  ProviderState,
  ProviderStateStore,
  ReconciliationStore,
  UnreadableCalls,
  UntoldGaps,
  WebhookProblem,
} from '../outbox/reconciliation.ts'
import type { Webhook } from './client.ts'
import { ProviderError } from './provider-error.ts'
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
  /** All that is wrong with the webhook, after each look at it. */
  webhookChecked(problems: readonly WebhookProblem[]): void
  /** Something could not be done, and is tried again at the next look. A failure of the provider is a `ProviderError`. */
  failed(error: unknown): void
  /** Those parts of the provider's API that have failed for long, after each look; empty where none has. */
  failing(parts: readonly FailingPart[]): void
}

/** Events that a source has missed: how many, and the first of them. */
export interface MissedSince {
  readonly count: number
  readonly events: readonly ExpectedEvent[]
}

/** The parts that are looked at, as they are named to people. */
export const CALLS = 'GET /api/calls'
/** One of the calls that are looked at again. */
export const CALL = 'GET /api/calls/{call_id}'
export const DELETED_CALLS = 'GET /api/deleted_calls'
export const WEBHOOKS = 'GET /api/webhooks'
const OUTBOX = 'outbox'

/** One bad answer is not reported. A part counts as failing after this many failures in a row, or at least two over this period. */
const MANY_FAILURES = 3
const LONG_FAILING_MS = 30 * 60_000
/** How soon it is looked again while it is not known whether something fails for long. */
const RECHECK_MS = 5 * 60_000

interface Failure {
  readonly endpoint: string
  readonly error: unknown
}

/** So many events are named where there are many. */
const NAMED = 100

const NOTHING: ProviderState = { swept: null, problem: null, failing: [], webhook: null }

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
      const isInDoubt = (this.#state.failing ?? []).some((part) => !isLasting(part))
      const pauseMs = isInDoubt ? Math.min(everyMs, RECHECK_MS) : everyMs
      await sleep(pauseMs, undefined, { signal, ref: false }).catch(() => {})
    }
  }

  /** Each part by itself: where one fails, the others are looked at all the same. */
  async #look(): Promise<void> {
    const { signal } = this.#abort
    const { news, store, source, clock } = this.#options
    const failures: Failure[] = []
    for (const part of [() => this.#sweep(), () => this.#lookAtWebhook(), () => this.#tellOfGaps()]) {
      // One that throws, which none should, must not end the watching.
      const failed = await part().catch((error: unknown) => failuresAt(OUTBOX, { error }))
      if (signal.aborted) return
      failures.push(...failed)
    }
    for (const { error } of failures) news.failed(error)
    const failing = this.#failing(failures)
    news.failing(failing.filter((part) => part.endpoint !== OUTBOX && isLasting(part)))
    const [first] = failing
    const problem = first === undefined ? null : { at: first.at, message: first.message }
    this.#state = { ...this.#state, problem, failing }
    const unsaved = await this.#attempt(() => store.saveProviderState(source, this.#state, clock.now()))
    if (unsaved !== undefined) news.failed(unsaved.error)
  }

  /** The parts that have failed now, with what is known of their failures in a row. */
  #failing(failures: readonly Failure[]): FailingPart[] {
    const at = this.#options.clock.now()
    const parts = new Map<string, FailingPart>()
    for (const { endpoint, error } of failures) {
      if (parts.has(endpoint)) continue
      const known = this.#state.failing?.find((part) => part.endpoint === endpoint)
      parts.set(endpoint, {
        endpoint,
        since: Math.min(known?.since ?? at, at),
        at,
        failures: (known?.failures ?? 0) + 1,
        message: errorMessage(error),
      })
    }
    return [...parts.values()]
  }

  async #attemptAt(endpoint: string, work: () => Promise<void>): Promise<Failure[]> {
    const failed = await this.#attempt(work)
    return failuresAt(endpoint, failed)
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
  async #sweep(): Promise<Failure[]> {
    const { sweeps, news, clock } = this.#options
    if (sweeps === null) {
      this.#state = { ...this.#state, unreadable: [] }
      return []
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
    const failures = [...failuresAt(CALLS, calls), ...failuresAt(CALL, again), ...failuresAt(DELETED_CALLS, deleted)]
    news.swept(findings, unreadable, failures.length === 0)
    if (calls === undefined) {
      const swept = { at: clock.now(), calls: findings.calls, recorded: totalOf(findings, 'recorded') }
      this.#state = { ...this.#state, swept }
    }
    return failures
  }

  #tellOfSilence({ since, count, events }: Missed): void {
    if (count === 0 || since === this.#toldSilentSince) return
    this.#toldSilentSince = since
    this.#options.news.silent(since, { count, events })
  }

  /** From the outbox, where backfill puts some too, and what was found before a crash waits. */
  #tellOfGaps(): Promise<Failure[]> {
    const { store, source, news } = this.#options
    return this.#attemptAt(OUTBOX, async () => {
      const gaps = await store.untoldGaps(source, NAMED)
      if (gaps.count === 0) return
      news.gaps(gaps)
      await store.gapsTold(source, gaps.foundUntil)
    })
  }

  async #lookAtWebhook(): Promise<Failure[]> {
    const { webhook, listWebhooks, news, clock } = this.#options
    if (webhook === null) return []
    return this.#attemptAt(WEBHOOKS, async () => {
      const problems = webhookProblems(webhook, await listWebhooks(this.#abort.signal))
      const known = this.#state.webhook?.problems ?? []
      for (const problem of problems) {
        if (!known.some(({ kind }) => kind === problem.kind)) news.webhookProblem(problem)
      }
      if (known.length > 0 && problems.length === 0) news.webhookRestored()
      news.webhookChecked(problems)
      this.#state = { ...this.#state, webhook: { at: clock.now(), problems } }
    })
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

/** What is not the provider's failure is the outbox's. */
function failuresAt(endpoint: string, failed: { readonly error: unknown } | undefined): Failure[] {
  if (failed === undefined) return []
  return [{ endpoint: failed.error instanceof ProviderError ? endpoint : OUTBOX, error: failed.error }]
}

function isLasting({ failures, since, at }: FailingPart): boolean {
  return failures >= MANY_FAILURES || (failures > 1 && at - since >= LONG_FAILING_MS)
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
