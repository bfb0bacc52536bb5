import type { Config } from '../config/config.ts'
import { type UnfinishedRotation, unfinishedRotations } from '../config/rotation-state.ts'
import type { ClockHold, ClockReading } from '../domain/clock-trust.ts'
import type { OutboxOperator, OutboxStatus, ProviderReport, SourceActivity } from '../outbox/operator.ts'
import { VERSION } from '../version.ts'
import { certificateDocument, type ServedCertificate } from './certificate.ts'
import { holdDocument } from './clock.ts'
import { iso, isoOrNull } from './instants.ts'
import { providerDocument, reportsOf } from './provider.ts'
import { listedTargets, targetDocument } from './targets.ts'

export interface Status {
  readonly now: number
  readonly config: Config
  readonly outbox: OutboxStatus
  readonly daemon: Daemon
  readonly provider: readonly ProviderReport[]
  readonly rotations: readonly UnfinishedRotation[]
  readonly certificate: ServedCertificate
  /** Why nothing is deleted for its age; null where it is. */
  readonly hold: ClockHold | null
}

export type Daemon = Awaited<ReturnType<OutboxOperator['daemon']>>

export interface ListedSource extends SourceActivity {
  readonly configured: boolean
}

/**
 * How all is doing at one moment. `certificate` asks the listener of a daemon that runs; `rotations` reads them where the files may not
 * answer.
 */
export async function statusOf(
  config: Config,
  operator: StatusReader,
  reading: ClockReading,
  certificate: (daemon: Daemon) => Promise<ServedCertificate> | ServedCertificate,
  rotations: (config: Config) => Promise<readonly UnfinishedRotation[]> = async () => unfinishedRotations(config),
): Promise<Status> {
  const now = reading.wallMs
  const daemon = await operator.daemon()
  return {
    now,
    config,
    outbox: await operator.status(now),
    daemon,
    certificate: await certificate(daemon),
    provider: reportsOf(config, await operator.provider()),
    rotations: await rotations(config),
    hold: (await operator.clock(reading)).hold,
  }
}

function daemonDocument({
  answeredReload,
  configuration,
  reloadChanges,
  unknownPaths,
  ...daemon
}: NonNullable<Daemon>) {
  return { ...daemon, startedAt: iso(daemon.startedAt), reloadedAt: isoOrNull(daemon.reloadedAt) }
}

export type StatusReader = Pick<OutboxOperator, 'status' | 'daemon' | 'provider' | 'clock'>

/** Everything, for scripts: instants in ISO. */
export function statusDocument({ now, config, outbox, daemon, provider, rotations, hold, certificate }: Status) {
  return {
    at: iso(now),
    version: VERSION,
    daemon: daemon && daemonDocument(daemon),
    certificate: certificateDocument(certificate, now),
    outbox: {
      path: config.outbox.path,
      events: outbox.events,
      ...outbox.storage,
      createdAt: isoOrNull(outbox.storage.createdAt),
      reserveBytes: config.outbox.reserveBytes,
      maxSizeBytes: config.outbox.maxSizeBytes,
      retentionHeld: holdDocument(hold),
    },
    sources: listedSources(config, outbox).map((each) => ({ ...each, lastEventAt: isoOrNull(each.lastEventAt) })),
    targets: listedTargets(config, outbox.targets).map(targetDocument),
    provider: provider.map(providerDocument),
    rotations: rotations.map(rotationDocument),
  }
}

/** Keys by which scripts and the description of the API go. */
export type StatusDocument = ReturnType<typeof statusDocument>

function rotationDocument({ which: _, ...rotation }: UnfinishedRotation): object {
  if ('problem' in rotation) return rotation
  const { startedAt, registeredAt, retiredAt, unregisteredAt, ...rest } = rotation
  return {
    ...rest,
    startedAt: iso(startedAt),
    registeredAt: isoOrNull(registeredAt),
    retiredAt: isoOrNull(retiredAt),
    unregisteredAt: isoOrNull(unregisteredAt),
  }
}

/** The configured sources in the order of the configuration, then others that events or refusals tell of. */
export function listedSources({ sources }: Config, { sources: active }: OutboxStatus): ListedSource[] {
  const byName = new Map(active.map((each) => [each.source, each]))
  const others = active.map(({ source }) => source).filter((source) => !Object.hasOwn(sources, source))
  return [...Object.keys(sources), ...others].map((source) => ({
    ...(byName.get(source) ?? { source, lastEventAt: null, eventsLastHour: 0, refusedLastHour: [] }),
    configured: Object.hasOwn(sources, source),
  }))
}
