import type { Counts } from './admin/counts.ts'
import type { Alerts } from './alerts/alerts.ts'
import {
  reconcileFailing,
  reconcileGap,
  reconcileReadable,
  reconcileRecovered,
  reconcileUnreadable,
  sourceSilentThough,
  webhookRestored,
  webhookTrouble,
} from './alerts/provider-events.ts'
import type { Config, ReconcileConfig, UltravoxConfig } from './config/config.ts'
import { accountOfSource, wantedWebhook, watchedSource } from './config/provider-accounts.ts'
import { countedNews } from './counted.ts'
import type { Clock, Random } from './domain/clock.ts'
import type { NewEvent, Payload } from './domain/event.ts'
import { LIFECYCLE_EVENTS } from './domain/sample-event.ts'
import { secretFingerprint } from './domain/secret-fingerprint.ts'
import { type Logger, providerLog } from './logging.ts'
import type { Recorded } from './outbox/outbox.ts'
import type { AwaitedEventStore, ProviderStateStore, ReconciliationStore } from './outbox/reconciliation.ts'
import { createUltravoxClient, type UltravoxClient } from './ultravox/client.ts'
import { fetchedEvent } from './ultravox/fetched-event.ts'
import { type ProviderNews, ProviderWatch } from './ultravox/provider-watch.ts'
import { Reconciler } from './ultravox/reconciler.ts'
import type { RequestGates } from './ultravox/request-gate.ts'
import { plainUrl } from './ultravox/shown-url.ts'
import { Sweeps } from './ultravox/sweeps.ts'

export interface ProviderSideOptions {
  readonly store: ReconciliationStore & AwaitedEventStore & ProviderStateStore
  readonly newEventId: () => string
  readonly route: (payload: Payload, source: string, eventId: string) => Promise<string[]>
  readonly record: (event: NewEvent, targets: readonly string[]) => Promise<Recorded>
  readonly alerts: Alerts
  readonly counts: Counts
  /** When a source last had a genuine webhook, or the listening began. */
  readonly heardAt: (source: string) => number
  readonly logger: Logger
  readonly random: Random
  readonly clock: Clock
  readonly gates: RequestGates
}

/** How often the webhook is looked at where nothing is reconciled. */
const WATCH_EVERY_MS = 10 * 60_000

/** Monitors each account at the provider as configured. Returns a function that stops it. */
export function watchProvider(config: Config, options: ProviderSideOptions): () => Promise<void> {
  const ends = config.ultravox.map((account) => watchAccount(config, account, options))
  return async () => void (await Promise.all(ends.map((end) => end())))
}

function watchAccount(config: Config, account: UltravoxConfig, options: ProviderSideOptions): () => Promise<void> {
  const source = watchedSource(account)
  if (source === null) return async () => {}
  const { webhook, reconcile } = account
  const { store, heardAt, random, clock, gates } = options
  const client = createUltravoxClient({ ...account, random, gates })
  const watch = new ProviderWatch({
    source,
    everyMs: reconcile?.everyMs ?? WATCH_EVERY_MS,
    sweeps: reconcile && sweepsOf(account, reconcile, accountOfSource(config, source), client, options),
    webhook: wantedWebhook(config, account),
    listWebhooks: (signal) => client.listWebhooks(signal),
    store,
    heardAt: () => heardAt(source),
    news: newsOf(source, webhook === null ? '' : plainUrl(webhook.url), options),
    clock,
  })
  return async () => {
    await watch.stop()
    await client.close()
  }
}

function sweepsOf(
  { apiKey, baseUrl, webhook }: UltravoxConfig,
  { source, graceMs, lookbackMs }: ReconcileConfig,
  account: string,
  client: UltravoxClient,
  { store, newEventId, route, record, clock }: ProviderSideOptions,
): Sweeps {
  const events = webhook?.events ?? LIFECYCLE_EVENTS
  const agentId = webhook?.agentId ?? null
  const scope = JSON.stringify([account, baseUrl, secretFingerprint(apiKey), agentId, [...events].sort(), graceMs])
  const reconciler = new Reconciler({
    client,
    store,
    memory: store,
    source,
    account,
    events,
    agentId,
    graceMs,
    async take(body) {
      const { event, payload } = fetchedEvent(source, account, body, newEventId(), clock.now())
      const { duplicate } = await record(event, await route(payload, source, event.eventId))
      return !duplicate
    },
    clock,
  })
  return new Sweeps({ reconciler, store, source, lookbackMs, scope, clock })
}

/** Logs and counts everything, and reports problems as alerts. `url`: the webhook's, as it may be shown. */
function newsOf(source: string, url: string, { alerts, counts, logger }: ProviderSideOptions): ProviderNews {
  const log = countedNews(providerLog(logger, source), source, counts)
  return {
    ...log,
    gaps(gaps) {
      log.gaps(gaps)
      alerts.raise(reconcileGap(source, gaps))
    },
    swept(findings, unreadable, complete) {
      log.swept(findings, unreadable, complete)
      const troubles = unreadable.map((calls) => reconcileUnreadable(source, calls))
      alerts.report(troubles, reconcileReadable(source))
    },
    silent(since, missed) {
      log.silent(since, missed)
      alerts.raise(sourceSilentThough(source, since, missed))
    },
    webhookChecked(problems) {
      const troubles = problems.map((problem) => webhookTrouble(source, url, problem))
      alerts.report(troubles, webhookRestored(source, url))
    },
    failing(parts) {
      alerts.report(parts.length === 0 ? [] : [reconcileFailing(source, parts)], reconcileRecovered(source))
    },
  }
}
