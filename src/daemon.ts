import { lookup } from 'node:dns/promises'
import type { AddressInfo } from 'node:net'
import { dirname } from 'node:path'
import { v7 as uuid } from 'uuid'
import { type Alerts, createAlerts } from './alerts/alerts.ts'
import { type LaneAlerts, laneAlerts } from './alerts/lane-alerts.ts'
import { freeBytesAt, watchSpace } from './alerts/low-space.ts'
import { watchBacklog } from './alerts/old-backlog.ts'
import { systemSchedule } from './alerts/schedule.ts'
import { type SilentSources, watchSilence } from './alerts/silent-sources.ts'
import { startWatches, type Watch } from './alerts/watches.ts'
import type { Config, TargetConfig } from './config/config.ts'
import { Lane, type LaneLog } from './delivery/lane.ts'
import { Lanes, type LanesLog } from './delivery/lanes.ts'
import { createRate, UNLIMITED } from './delivery/rate-limit.ts'
import { type Clock, systemClock, systemStopwatch } from './domain/clock.ts'
import { errorMessage, RelayError } from './domain/errors.ts'
import { evaluationProblem } from './domain/expression.ts'
import { compileRoute, routeEvent } from './domain/routing.ts'
import { createSteadyClock } from './domain/steady-clock.ts'
import { ADMISSION_LIMITS, admit } from './ingest/admission.ts'
import { createListener } from './ingest/listener.ts'
import { createReceiver, type ReceiverOptions } from './ingest/receiver.ts'
import { alertsLog, type Logger, laneLog, listenerLog } from './logging.ts'
import type { Outbox } from './outbox/outbox.ts'
import { SqliteOutbox } from './outbox/sqlite/sqlite-outbox.ts'
import { noVerification } from './sources/none.ts'
import { createUltravoxScheme } from './sources/ultravox.ts'
import { createTarget } from './target-factory.ts'
import { Launcher } from './targets/launcher.ts'

/** A relay that is running. */
export interface Daemon {
  /** Where it listens, such as `127.0.0.1:8080`. */
  readonly address: string
  /** Ends it in good order: no new requests, requests in flight answered, running attempts ended or given back. */
  stop(): Promise<void>
}

export interface DaemonOptions {
  readonly logger: Logger
  /** Called when the relay cannot go on: its storage can no longer be trusted. The process should end at once. */
  readonly onFailure: (error: RelayError) => void
  readonly clock?: Clock
}

/**
 * Wires the relay together and starts it: outbox, lanes, listener; nothing is taken before everything behind it works.
 * Throws `outbox_locked`, `outbox_unusable`, `outbox_failed`, `runtime_unsupported` or `listen_failed`, with nothing
 * left running.
 */
export async function startDaemon(config: Config, options: DaemonOptions): Promise<Daemon> {
  const { logger, onFailure, clock = systemClock } = options
  const entry: Entry = {
    newEventId: () => `evt_${uuid().replaceAll('-', '')}`,
    route: createRouting(config, logger),
    record: (event, targets) => lanes.record(event, targets),
  }
  const log = alertsLog(logger)
  const alerts = createAlerts({ ...entry, clock, schedule: systemSchedule, log })
  const silence = createSilence(config, alerts, clock)
  const outbox = await SqliteOutbox.open(config.outbox.path, onFailure, () => void lanes.refresh())
  // What waits should wait as long as it was meant to, whatever is done to the machine's clock.
  const steady = createSteadyClock(clock, systemStopwatch)
  const launcher = new Launcher()
  const lanes = createLanes(config, outbox, launcher, both(laneLog(logger), laneAlerts(alerts.raise)), steady)
  try {
    const listener = await createIngest(config, outbox, heardBy(silence, entry), logger, clock)
    const address = await listen(listener, config.server.listen)
    await lanes.start()
    const watches = [silence, ...createWatches(config, outbox, alerts, steady)]
    const endWatches = startWatches(watches, systemSchedule, log.unwatched)
    return {
      address,
      async stop() {
        await endWatches()
        await listener.close()
        await lanes.stop(config.server.shutdownTimeoutMs)
        // What the lanes have told of up to their end is on disk before the outbox is closed.
        await alerts.stop()
        await Promise.all([outbox.close(), launcher.close()])
      },
    }
  } catch (error) {
    await lanes.stop(0)
    await alerts.stop()
    await Promise.all([outbox.close(), launcher.close()])
    throw error
  }
}

/** What it takes to make an event of something: what a source has brought, or the relay has to tell. */
type Entry = Pick<ReceiverOptions, 'newEventId' | 'route' | 'record'>

function createRouting(config: Config, logger: Logger): Entry['route'] {
  const routes = config.routes.map(compileRoute)
  return (payload) =>
    routeEvent(routes, payload, (index, error) =>
      logger.warn(
        { route: index, event: payload.event, error: evaluationProblem(error) },
        'route condition failed, taken as true',
      ),
    )
}

/** For what sources bring: then they have been heard of, even if it cannot be stored now. */
function heardBy(silence: SilentSources, entry: Entry): Entry {
  const record = admit(entry.record, ADMISSION_LIMITS)
  return {
    ...entry,
    record(event, targets) {
      silence.heard(event.source)
      return record(event, targets)
    },
  }
}

function createSilence({ sources }: Config, { raise }: Alerts, clock: Clock): SilentSources {
  const expectWithinMs = new Map<string, number>()
  for (const [name, source] of Object.entries(sources)) {
    if (source.expectWithinMs !== null) expectWithinMs.set(name, source.expectWithinMs)
  }
  return watchSilence({ expectWithinMs, clock, stopwatch: systemStopwatch, raise })
}

function createWatches(config: Config, outbox: Outbox, { raise }: Alerts, clock: Clock): Watch[] {
  const { path, reserveBytes } = config.outbox
  const { alertAfterMs } = config.delivery
  return [
    watchBacklog({ targets: Object.keys(config.targets), alertAfterMs, outbox, clock, raise }),
    watchSpace({ reserveBytes, freeBytes: () => freeBytesAt(dirname(path)), raise }),
  ]
}

/** What the lanes tell of is logged, and some of it is raised as an alert. */
function both(log: LaneLog & LanesLog, alerts: LaneAlerts): LaneLog & LanesLog {
  return {
    ...log,
    attempted(...args) {
      log.attempted(...args)
      alerts.attempted(...args)
    },
    opened(...args) {
      log.opened(...args)
      alerts.opened(...args)
    },
    closed(...args) {
      log.closed(...args)
      alerts.closed(...args)
    },
  }
}

function createLanes(config: Config, outbox: Outbox, launcher: Launcher, log: LaneLog & LanesLog, clock: Clock): Lanes {
  const targets = Object.entries(config.targets)
  const lane = (name: string, target: TargetConfig) =>
    new Lane({
      target: createTarget(name, target, config.directory, clock, launcher),
      outbox,
      concurrency: target.concurrency,
      rate: target.rateLimit === null ? UNLIMITED : createRate(target.rateLimit),
      policy: target.retry,
      breaker: target.breaker,
      ordered: target.ordered,
      holdOnDead: target.holdOnDead,
      clock,
      random: Math.random,
      log,
    })
  return new Lanes({
    lanes: new Map(targets.map(([name, target]) => [name, lane(name, target)])),
    ordered: new Set(targets.filter(([, { ordered }]) => ordered).map(([name]) => name)),
    pausedByConfig: new Set(targets.filter(([, { paused }]) => paused).map(([name]) => name)),
    outbox,
    log,
  })
}

function createIngest(config: Config, outbox: Outbox, entry: Entry, logger: Logger, clock: Clock) {
  return createListener({
    ...config.server,
    sources: Object.entries(config.sources).map(([name, source]) => ({
      name,
      path: source.path,
      scheme: source.scheme === 'none' ? noVerification : createUltravoxScheme(source.secrets, source.toleranceMs),
    })),
    receive: createReceiver({
      ...entry,
      reject: (rejection) => outbox.reject(rejection),
      clock,
    }),
    outbox,
    clock,
    log: listenerLog(logger),
  })
}

async function listen(
  listener: Awaited<ReturnType<typeof createListener>>,
  { host, port }: Config['server']['listen'],
): Promise<string> {
  try {
    // A name with several addresses would give several servers, of which a graceful end knows only one.
    const { address } = await lookup(host)
    await listener.listen({ host: address, port })
  } catch (error) {
    await listener.close()
    throw new RelayError('listen_failed', `cannot listen on ${hostPort(host, port)}: ${errorMessage(error)}`, {
      cause: error,
    })
  }
  return hostPort(host, (listener.server.address() as AddressInfo).port)
}

function hostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
