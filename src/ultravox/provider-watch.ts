import type { Clock } from '../domain/clock.ts'
import { errorMessage } from '../domain/errors.ts'
import type {
  ExpectedEvent,
  ProviderState,
  ProviderStateStore,
  ReconciliationStore,
  WebhookProblem,
} from '../outbox/reconciliation.ts'
import type { Webhook } from './client.ts'
import { type Findings, type MissedEvent, noFindings, type Reconciler } from './reconciler.ts'
import type { WantedWebhook } from './webhook-difference.ts'
import { webhookProblems } from './webhook-health.ts'

export interface ProviderWatchOptions {
  readonly source: string
  readonly everyMs: number
  /** Null where nothing is reconciled. */
  readonly reconcile: { readonly reconciler: Reconciler; readonly lookbackMs: number } | null
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
  /** A sweep has come to its end. */
  swept(findings: Findings): void
  /** Events that can never be had, and were not known to be so. */
  gaps(events: readonly ExpectedEvent[]): void
  /** Events have happened, and no webhook has come since (epoch milliseconds). */
  silent(since: number, missed: readonly MissedEvent[]): void
  /** Something is wrong with the webhook that was not before. */
  webhookProblem(problem: WebhookProblem): void
  /** Nothing is wrong with it any more. */
  webhookRestored(): void
  /** The provider could not be asked: `first` unless that was so the last time too. It is asked again at the next. */
  failed(error: unknown, first: boolean): void
  /** What was found could not be noted for the commands; nothing else hangs on it. */
  unsaved(error: unknown): void
}

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
    while (!signal.aborted) {
      await this.#look()
      await pause(this.#options.everyMs, signal)
    }
  }

  async #look(): Promise<void> {
    const { signal } = this.#abort
    const { news, store, source, clock } = this.#options
    const { problem: before } = this.#state
    try {
      await this.#sweep(signal)
      await this.#lookAtWebhook(signal)
      this.#state = { ...this.#state, problem: null }
    } catch (error) {
      if (signal.aborted) return
      this.#state = { ...this.#state, problem: { at: clock.now(), message: errorMessage(error) } }
      news.failed(error, before === null)
    }
    try {
      await store.saveProviderState(source, this.#state, clock.now())
    } catch (error) {
      news.unsaved(error)
    }
  }

  /** One sweep, or the rest of the one that was cut off. */
  async #sweep(signal: AbortSignal): Promise<void> {
    const { source, reconcile, store, news, clock } = this.#options
    if (reconcile === null) return
    const { reconciler, lookbackMs } = reconcile
    const kept = await store.sweep(source)
    const completedUntil = kept?.completedUntil ?? null
    const now = clock.now()
    const start = kept?.current ?? {
      from: (completedUntil ?? now) - lookbackMs,
      to: now,
      phase: 'calls' as const,
      page: null,
    }
    const findings = noFindings()
    try {
      const save = (current: typeof start) => store.saveSweep(source, { completedUntil, current }, clock.now())
      await reconciler.lookThrough(start, findings, save, signal)
      await store.saveSweep(source, { completedUntil: start.to, current: null }, clock.now())
    } finally {
      this.#tell(findings)
    }
    const { calls, recorded } = findings
    this.#state = { ...this.#state, swept: { at: clock.now(), calls, recorded: recorded.length } }
    news.swept(findings)
  }

  #tell({ gaps, recorded }: Findings): void {
    const { news, heardAt } = this.#options
    if (gaps.length > 0) news.gaps(gaps)
    const since = heardAt()
    const missed = recorded.filter(({ at }) => at !== null && at > since)
    if (missed.length === 0 || since === this.#toldSilentSince) return
    this.#toldSilentSince = since
    news.silent(since, missed)
  }

  async #lookAtWebhook(signal: AbortSignal): Promise<void> {
    const { webhook, listWebhooks, news, clock } = this.#options
    if (webhook === null) return
    const problems = webhookProblems(webhook, await listWebhooks(signal))
    const known = this.#state.webhook?.problems ?? []
    for (const problem of problems) {
      if (!known.some(({ kind }) => kind === problem.kind)) news.webhookProblem(problem)
    }
    if (known.length > 0 && problems.length === 0) news.webhookRestored()
    this.#state = { ...this.#state, webhook: { at: clock.now(), problems } }
  }
}

/** Resolves after so long, or as soon as the signal aborts. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    const timer = setTimeout(end, ms)
    timer.unref()
    signal.addEventListener('abort', end, { once: true })
    function end() {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      resolve()
    }
  })
}
