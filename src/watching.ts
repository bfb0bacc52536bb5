import { dirname } from 'node:path'
import { freeBytesAt, watchSpace } from './alerts/low-space.ts'
import { watchBacklog } from './alerts/old-backlog.ts'
import { systemSchedule } from './alerts/schedule.ts'
import type { SilentSources } from './alerts/silent-sources.ts'
import { startWatches, type Watch } from './alerts/watches.ts'
import { watchCertificate } from './certificate-watch.ts'
import type { Config, ServerTlsConfig } from './config/config.ts'
import type { Clock } from './domain/clock.ts'
import { alertsLog, certificateLog } from './logging.ts'
import type { Outbox } from './outbox/outbox.ts'
import { type ProviderSideOptions, watchProvider } from './provider-side.ts'

export interface WatchingOptions extends Omit<ProviderSideOptions, 'store' | 'heardAt'> {
  readonly outbox: Outbox
  readonly silence: SilentSources
  readonly listener: { show(certificate: ServerTlsConfig): void }
  /** For what waits, whatever is done to the machine's clock. */
  readonly steady: Clock
}

/** Starts all that looks from time to time how things are: here, and at the provider. What is returned ends it. */
export function startWatching(config: Config, options: WatchingOptions): () => Promise<void> {
  const { outbox, silence, listener, steady, raise, logger } = options
  const { targets, alertAfterMs, outboxPath, reserveBytes, expectWithinMs, tls } = watched(config)
  silence.expect(new Map(expectWithinMs))
  const watches: Watch[] = [
    silence,
    watchBacklog({ targets, alertAfterMs, outbox, clock: steady, raise }),
    watchSpace({ reserveBytes, freeBytes: () => freeBytesAt(dirname(outboxPath)), raise }),
    ...(tls === null
      ? []
      : [watchCertificate(tls, { show: (next) => listener.show(next), log: certificateLog(logger) })]),
  ]
  const ends = [
    startWatches(watches, systemSchedule, alertsLog(logger).unwatched),
    watchProvider(config, { ...options, store: outbox, heardAt: silence.heardAt }),
  ]
  return async () => void (await Promise.all(ends.map((end) => end())))
}

/** What the watching goes by: where it is the same, the watching may go on. */
export function watched({ server, sources, targets, delivery, outbox, ultravox }: Config) {
  return {
    targets: Object.keys(targets),
    alertAfterMs: delivery.alertAfterMs,
    outboxPath: outbox.path,
    reserveBytes: outbox.reserveBytes,
    expectWithinMs: Object.entries(sources).flatMap(([name, { expectWithinMs }]): [string, number][] =>
      expectWithinMs === null ? [] : [[name, expectWithinMs]],
    ),
    tls: server.tls,
    ultravox,
    webhookSource: ultravox?.webhook && sources[ultravox.webhook.source],
  }
}
