import { watchHeldCalls } from './alerts/held-calls.ts'
import { watchBacklog } from './alerts/old-backlog.ts'
import { systemSchedule } from './alerts/schedule.ts'
import type { SilentSources } from './alerts/silent-sources.ts'
import { startWatches, type Watch } from './alerts/watches.ts'
import { watchCertificate, watchLifetimes } from './certificate-watch.ts'
import type { Config, ServerTlsConfig } from './config/config.ts'
import type { ConfigReader } from './config/reader.ts'
import { clientCertificates, httpsHosts } from './config/server-tls.ts'
import type { CertificateFacts } from './domain/certificate.ts'
import { type Clock, systemStopwatch } from './domain/clock.ts'
import { alertsLog, certificateLog, upkeepLog } from './logging.ts'
import { readMachineClock } from './machine-clock.ts'
import type { Outbox } from './outbox/outbox.ts'
import { type ProviderSideOptions, watchProvider } from './provider-side.ts'
import { ClockWatch } from './upkeep/clock-watch.ts'
import type { DiskReserve } from './upkeep/disk-reserve.ts'
import { watchHeldLog } from './upkeep/held-log-watch.ts'
import { watchRetention } from './upkeep/retention-watch.ts'

export interface WatchingOptions extends Omit<ProviderSideOptions, 'store' | 'heardAt'> {
  readonly outbox: Outbox
  readonly reader: ConfigReader
  readonly silence: SilentSources
  readonly listener: { show(certificate: ServerTlsConfig): void; readonly served: CertificateFacts | null }
  /** Called with why the files of the certificate cannot be used, or null. */
  readonly onCertificateFiles: (problem: string | null) => void
  readonly reserve: DiskReserve
  /** For what waits, whatever is done to the machine's clock. */
  readonly steady: Clock
}

/** Starts all that looks from time to time how things are: here, and at the provider. What is returned ends it. */
export function startWatching(config: Config, options: WatchingOptions): () => Promise<void> {
  const { outbox, reader, silence, listener, reserve, clock, steady, alerts, logger } = options
  const { raise, recovered, report } = alerts
  const clients = clientCertificates(config)
  const { targets, alertAfterMs, outboxPath, reserveBytes, policy, expectWithinMs, tls } = watched(config)
  silence.expect(new Map(expectWithinMs))
  const machineClock = new ClockWatch({ store: outbox, read: () => readMachineClock(clock), log: upkeepLog(logger) })
  const { prune } = machineClock
  const watches: Watch[] = [
    machineClock.watch(),
    silence,
    watchBacklog({ targets, alertAfterMs, outbox, clock: steady, raise, recovered }),
    watchHeldCalls({ targets, alertAfterMs, outbox, clock: steady, raise, recovered }),
    reserve.watch(reserveBytes, raise, recovered),
    watchRetention({
      policy,
      store: { prune },
      clock,
      stopwatch: systemStopwatch,
      raise,
      recovered,
      log: upkeepLog(logger),
    }),
    watchHeldLog({ store: outbox, path: outboxPath, raise, recovered }),
    watchLifetimes({ inUse: () => certificatesInUse(listener.served, clients), clock, report }),
    ...(tls === null
      ? []
      : [
          watchCertificate(tls, {
            reader,
            show: (next) => listener.show(next),
            hosts: httpsHosts(config.ultravox.flatMap(({ webhook }) => webhook?.url ?? [])),
            onLook: options.onCertificateFiles,
            clock,
            report,
            log: certificateLog(logger),
          }),
        ]),
  ]
  const ends = [
    startWatches(watches, systemSchedule, alertsLog(logger).unwatched),
    watchProvider(config, {
      ...options,
      record: reserve.guarding(options.record),
      store: outbox,
      heardAt: silence.heardAt,
    }),
  ]
  return async () => void (await Promise.all(ends.map((end) => end())))
}

/** Of the public listener and of targets, each with its place in the configuration. */
function certificatesInUse(served: CertificateFacts | null, clients: ReturnType<typeof clientCertificates>) {
  return [
    ...(served === null ? [] : [{ place: 'server.tls', facts: served } as const]),
    ...clients.map(({ target, facts }) => ({ place: `targets.${target}.tls`, facts }) as const),
  ]
}

/** What the watching goes by: where it is the same, the watching may go on. */
export function watched({ server, sources, targets, delivery, outbox, ultravox }: Config) {
  return {
    targets: Object.keys(targets),
    alertAfterMs: delivery.alertAfterMs,
    outboxPath: outbox.path,
    reserveBytes: outbox.reserveBytes,
    policy: { ...outbox.retention, maxSizeBytes: outbox.maxSizeBytes },
    expectWithinMs: Object.entries(sources).flatMap(([name, { expectWithinMs }]): [string, number][] =>
      expectWithinMs === null ? [] : [[name, expectWithinMs]],
    ),
    tls: server.tls,
    clientCertificates: clientCertificates({ targets }),
    ultravox,
    webhookSources: ultravox.map(({ webhook }) => webhook && sources[webhook.source]),
  }
}
