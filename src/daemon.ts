import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Metrics } from './admin/metrics.ts'
import { AdminSide } from './admin-side.ts'
import { type Alerts, createAlerts } from './alerts/alerts.ts'
import { STATE_EVENTS } from './alerts/conditions.ts'
import { alsoRaised, laneAlerts } from './alerts/lane-alerts.ts'
import { targetClosed, targetOpened } from './alerts/relay-event.ts'
import { systemSchedule } from './alerts/schedule.ts'
import { type SilentSources, watchSilence } from './alerts/silent-sources.ts'
import { type CallAttachments, createCallAttachments } from './call-attachments.ts'
import type { Config } from './config/config.ts'
import { differences, sameConfig, sameTarget, withoutRestart } from './config/difference.ts'
import { accountOfSource } from './config/provider-accounts.ts'
import { ConfigReader } from './config/reader.ts'
import { countedLanes, countedRecord, countedRequests, withUnknownPaths } from './counted.ts'
import { Capacities } from './delivery/capacity.ts'
import type { Lane, LaneLog } from './delivery/lane.ts'
import { type ConfiguredLane, Lanes, type LanesLog } from './delivery/lanes.ts'
import { Probes } from './delivery/probes.ts'
import { Recalls } from './delivery/recalls.ts'
import { type Clock, systemClock, systemStopwatch } from './domain/clock.ts'
import { RelayError } from './domain/errors.ts'
import { parsePayload } from './domain/event.ts'
import { RELAY_SOURCE } from './domain/relay-events.ts'
import { createSteadyClock } from './domain/steady-clock.ts'
import type { Vitals } from './domain/vitals.ts'
import { type Entry, heardBy, routing, sourcesOf } from './entry.ts'
import { newEventId } from './event-id.ts'
import { admitRejections, REJECTION_LIMITS } from './ingest/admission.ts'
import type { AppLog } from './ingest/app.ts'
import { Listener } from './ingest/listener.ts'
import { createReceiver, type Receiver } from './ingest/receiver.ts'
import { createSecretUses } from './ingest/secret-uses.ts'
import { type UnknownPathRequest, UnknownPaths } from './ingest/unknown-paths.ts'
import { lanesOf } from './lane-factory.ts'
import { alertsLog, appLog, type Logger, laneLog, launcherLog, tracingLog, unmatchedLog, upkeepLog } from './logging.ts'
import { unmountedAbove } from './mounts.ts'
import { EVICTION_GRACE_MS } from './outbox/sqlite/instance.ts'
import { SqliteOutbox } from './outbox/sqlite/sqlite-outbox.ts'
import { FreezeWatch } from './process-freeze.ts'
import { newRequestId } from './request-id.ts'
import { Launcher } from './targets/launcher.ts'
import { ToldState } from './told-state.ts'
import { takingUp, tracedRecord, tracedRequests } from './traced.ts'
import { openTracing, type Tracing } from './tracing.ts'
import { RequestGates } from './ultravox/request-gate.ts'
import { DiskReserve } from './upkeep/disk-reserve.ts'
import { freeBytesAt } from './upkeep/free-space.ts'
import { startWatching, watched } from './watching.ts'

/** More of the relay's own events are not read back at a start: five minutes apart, they reach back for days. */
const RESUMED_ALERTS = 1_000
/** Requests to unknown paths are put on record this often at most. */
const UNKNOWN_PATHS_EVERY_MS = 60_000

/** A relay that is running. */
export interface Daemon {
  /** Where it listens, such as `127.0.0.1:8080`. */
  readonly address: string
  /**
   * Goes over to another configuration between two requests: what is under way ends under the old one. Says what has
   * changed, by name, and what would have but takes a restart. Where it rejects (the outbox cannot be read), nothing has
   * changed. `request`: the number of the command's request that this serves, see `onReloadRequest`.
   */
  reload(next: Config, request?: number): Promise<Reloaded>
  /** Puts on record that a configuration could not be taken over, for the commands. Nothing changes. */
  refuseReload(problem: string, request?: number): Promise<void>
  /** How it stands. What is stuck in it keeps it from answering, or shows in the answer. */
  vitals(): Promise<Vitals>
  /** How long `stop` lets running attempts go on. */
  readonly shutdownTimeoutMs: number
  /**
   * Shuts down gracefully: no new requests, requests in flight answered, running attempts ended or given back. Never rejects.
   * Reloads that have not begun are rejected. A second call waits for the same shutdown.
   */
  stop(): Promise<void>
}

export interface Reloaded {
  readonly changed: readonly string[]
  readonly needsRestart: readonly string[]
}

export interface DaemonOptions {
  readonly logger: Logger
  /** Called when the relay cannot go on: its storage can no longer be trusted, or is another relay's. The process should end at once. */
  readonly onFailure: (error: RelayError) => void
  /** Called when a command asks for a reload, perhaps before the relay is started. */
  readonly onReloadRequest?: (request: number) => void
  /** A socket that somebody holds for the relay, to listen on in place of one of its own. */
  readonly inheritedFd?: number | undefined
  /** Creates a missing outbox, whatever the configuration says. */
  readonly create?: boolean
  readonly clock?: Clock
  /** Log lines that could not be written since the start, for the metrics. */
  readonly droppedLogLines?: () => number
}

/**
 * Wires the relay together and starts it: outbox, lanes, listener; nothing is taken before everything behind it works.
 * Throws `config_invalid`, `outbox_locked`, `outbox_unusable`, `outbox_failed`, `runtime_unsupported` or `listen_failed`, with nothing
 * left running.
 */
export async function startDaemon(config: Config, options: DaemonOptions): Promise<Daemon> {
  const { onFailure, onReloadRequest } = options
  const relay: { current?: Relay } = {}
  let recall = 0
  const metrics = new Metrics(options.droppedLogLines)
  const observer = {
    onChange: () => void relay.current?.refresh(),
    onBatch: (calls: number, ms: number) => metrics.counts.committed(calls, ms),
    ...(onReloadRequest && { onReloadRequest }),
    onRecallRequest: (request: number) => {
      recall = request
      relay.current?.recall(request)
    },
    onEvicted: (error: RelayError) => void endEvicted(relay.current, error, options),
  }
  const creation = options.create === true ? 'always' : config.outbox.createIfMissing ? 'if mounted' : 'never'
  const outbox = await SqliteOutbox.open(config.outbox.path, onFailure, observer, { creation })
  logOrigin(config.outbox.path, outbox, options.logger)
  try {
    const tracing = await openTracing(config.tracing, tracingLog(options.logger))
    relay.current = new Relay(config, outbox, metrics, tracing, options)
    relay.current.recall(recall)
    await relay.current.start(options.inheritedFd)
    return relay.current
  } catch (error) {
    await (relay.current ?? { end: () => outbox.close() }).end(0)
    throw error
  }
}

/** Both are signs of a volume that is not mounted: what is acknowledged is hidden once it is. */
function logOrigin(path: string, { origin }: SqliteOutbox, logger: Logger): void {
  if (origin?.isNew) logger.warn({ outbox: path }, 'created a new outbox')
  if (origin?.endedUnexpectedly) logger.warn({ outbox: path }, 'last run ended unexpectedly')
  if (origin !== null && origin.interrupted > 0) {
    const fields = { outbox: path, deliveries: origin.interrupted }
    logger.warn(fields, 'deliveries repeatedly interrupted, sending them one at a time')
  }
  const [mountPoint] = unmountedAbove(path)
  if (mountPoint !== undefined) logger.warn({ outbox: path, mountPoint }, 'volume of the outbox not mounted')
}

/**
 * Ends a relay whose lock file is gone, for another one may wait to take its place: attempts under way are finished and settled, so
 * that nothing is delivered twice. Then the process exits, also where that takes too long.
 */
async function endEvicted(relay: Relay | undefined, error: RelayError, { logger, onFailure }: DaemonOptions) {
  logger.error({ code: error.code, error: error.message }, 'outbox lock lost, relay stopping')
  const late = sleep(EVICTION_GRACE_MS + 1_000)
  await Promise.race([relay?.end(EVICTION_GRACE_MS), late]).catch(() => {})
  onFailure(error)
}

class Relay implements Daemon {
  readonly #outbox: SqliteOutbox
  readonly #logger: Logger
  readonly #clock: Clock
  /** What waits should wait as long as it was meant to, whatever is done to the machine's clock. */
  readonly #steady: Clock
  readonly #alerts: Alerts
  readonly #silence: SilentSources
  readonly #reserve: DiskReserve
  readonly #lanes: Lanes
  readonly #laneLog: LaneLog & LanesLog
  readonly #recalls: Recalls
  readonly #probes: Probes
  readonly #attachments: CallAttachments
  readonly #gates = new RequestGates()
  readonly #capacities = new Capacities()
  readonly #metrics: Metrics
  readonly #tracing: Tracing
  readonly #admin: AdminSide
  readonly #told: ToldState
  readonly #launcher: Launcher
  readonly #reader = new ConfigReader()
  readonly #listener: Listener
  readonly #requestLog: AppLog
  readonly #receive: Receiver
  readonly #entry: Entry
  #config: Config
  #route: Entry['route']
  /** Why the files of the listener's certificate cannot be used; null where what they hold is served. */
  #certificateProblem: string | null = null
  #endWatches: () => Promise<void> = async () => {}
  readonly #unknownPaths = new UnknownPaths()
  #unknownPathsTimer: NodeJS.Timeout | undefined
  /** When they were last put on record, by the monotonic clock. */
  #unknownPathsSavedAt = Number.NEGATIVE_INFINITY
  readonly #freezes = new FreezeWatch((ms) => this.#lanes.skipTime(ms))
  #stopped: Promise<void> | undefined
  /** One after the other. */
  #reloads: Promise<unknown> = Promise.resolve()
  address = ''

  constructor(config: Config, outbox: SqliteOutbox, metrics: Metrics, tracing: Tracing, options: DaemonOptions) {
    const { logger, clock = systemClock } = options
    this.#config = config
    this.#outbox = outbox
    this.#logger = logger
    this.#clock = clock
    this.#metrics = metrics
    this.#tracing = tracing
    const lackOfSpace = () => this.#reserve.problem
    this.#told = new ToldState({ outbox, clock, logger })
    const write = () => this.#told.rewrite()
    const certificate = () => ({ served: this.#listener.served, problem: this.#certificateProblem })
    const createdAt = outbox.origin?.createdAt ?? clock.now()
    this.#admin = new AdminSide({
      metrics,
      reader: this.#reader,
      write,
      lackOfSpace,
      certificate,
      createdAt,
      newRequestId,
      clock,
      logger,
    })
    this.#steady = createSteadyClock(clock, this.#freezes.read, (ms) => this.#lanes?.skipTime(ms))
    this.#launcher = new Launcher(launcherLog(logger))
    this.#listener = new Listener(config.server.tls)
    this.#requestLog = appLog(logger)
    this.#route = routing(config.routes, this.#logger)
    const record = countedRecord((event, targets) => this.#lanes.record(event, targets), metrics.counts)
    this.#entry = {
      newEventId,
      route: (...asked) => this.#route(...asked),
      record: tracedRecord(record, tracing, clock),
    }
    this.#alerts = createAlerts({ ...this.#entry, clock, schedule: systemSchedule, log: alertsLog(logger) })
    this.#silence = watchSilence({ clock, stopwatch: systemStopwatch, ...this.#alerts })
    const freeBytes = () => freeBytesAt(dirname(config.outbox.path))
    this.#reserve = new DiskReserve({ freeBytes, log: upkeepLog(logger) })
    this.#attachments = createCallAttachments(config, () => this.#config.outbox.reserveBytes, {
      store: outbox,
      clock,
      steady: this.#steady,
      random: Math.random,
      gates: this.#gates,
      logger,
    })
    this.#laneLog = countedLanes(alsoRaised(laneLog(logger), laneAlerts(this.#alerts.raise)), metrics.counts)
    this.#lanes = new Lanes(
      this.#lanesOf(config, () => undefined),
      { outbox, capacities: this.#capacities, clock: this.#steady, log: this.#laneLog },
    )
    this.#recalls = new Recalls({ lanes: this.#lanes, outbox, log: this.#laneLog })
    this.#probes = new Probes({ lanes: this.#lanes, outbox, log: this.#laneLog })
    this.#receive = createReceiver({
      ...heardBy(this.#silence, { ...this.#entry, record: this.#reserve.guarding(this.#entry.record) }),
      relayId: outbox.origin?.relayId ?? '',
      traceOf: takingUp(tracing),
      reject: this.#reserve.guarding(admitRejections((rejection) => outbox.reject(rejection), REJECTION_LIMITS)),
      secretsUsed: createSecretUses((...use) => outbox.saveSecretUse(...use)),
      clock,
    })
  }

  async start(inheritedFd: number | undefined): Promise<void> {
    const { server, outbox } = this.#config
    await this.#reserve.look(outbox.reserveBytes)
    const use = await this.#prepareListener(this.#config)
    use()
    const useAdmin = await this.#admin.prepare(this.#config)
    useAdmin()
    this.address = await this.#listener.listen(server.listen, inheritedFd)
    await this.#resumeAlerts()
    this.#freezes.start()
    await this.#lanes.start()
    this.#watch()
    await this.#told.started(this.#config, this.address)
  }

  /** What was alerted before is on record; what is not, or is not true any more after a crash, is said now. */
  async #resumeAlerts(): Promise<void> {
    const recorded = await this.#outbox.newestEvents(RELAY_SOURCE, STATE_EVENTS, RESUMED_ALERTS)
    this.#alerts.resume(recorded.map(({ event, body }) => ({ event, facts: factsIn(body) })))
    const states = await this.#outbox.targetStates()
    for (const target of Object.keys(this.#config.targets)) {
      const breaker = states.find((state) => state.target === target)?.breaker ?? null
      this.#alerts.report(breaker === null ? [] : [targetOpened(target, breaker.probeAt)], targetClosed(target))
    }
  }

  /** The first is on record at once, so that whoever sets up a webhook sees it; then a write a minute at most. */
  readonly #noteUnknownPath = (request: UnknownPathRequest): void => {
    this.#unknownPaths.note(request)
    if (this.#unknownPathsTimer !== undefined) return
    const save = () => {
      this.#unknownPathsTimer = undefined
      this.#unknownPathsSavedAt = systemStopwatch()
      void this.#told.noteUnknownPaths(this.#unknownPaths.list(this.#clock.now()))
    }
    const waitMs = this.#unknownPathsSavedAt + UNKNOWN_PATHS_EVERY_MS - systemStopwatch()
    this.#unknownPathsTimer = setTimeout(save, Math.max(0, waitMs)).unref()
  }

  get shutdownTimeoutMs(): number {
    return this.#config.server.shutdownTimeoutMs
  }

  /** Another process has written to the outbox. */
  refresh(): Promise<void> {
    return this.#lanes.refresh()
  }

  /** A command asks for a recall; 0 where none does. */
  recall(request: number): void {
    this.#recalls.request(request)
    if (request > 0) void this.#probes.look()
  }

  reload(next: Config, request?: number): Promise<Reloaded> {
    return this.#inTurn(async () => {
      this.#assertGoesOn()
      const before = this.#config
      const { config, needsRestart } = withoutRestart(before, next)
      const unchanged = (name: string) => (sameTarget(before, config, name) ? this.#lanes.lane(name) : undefined)
      const lanes = this.#lanesOf(config, unchanged)
      const useProvider = sameConfig(providerSide(before), providerSide(config))
        ? () => {}
        : this.#attachments.prepare(config.ultravox, (source) => accountOfSource(config, source))
      const prepared = await this.#prepared(config, lanes).catch(async (error) => {
        await this.#lanes.discard(lanes)
        throw error
      })
      const { useListener, useLanes, useAdmin } = prepared
      // Its certificate may have been renewed since `before`.
      const replaced = this.#config
      this.#config = config
      this.#route = routing(config.routes, this.#logger)
      useProvider()
      useListener()
      useLanes()
      useAdmin()
      if (!sameConfig(watched(replaced), watched(config))) {
        await this.#attempt('monitors', () => this.#endWatches())
        this.#watch()
      }
      const changed = differences(before, config)
      const restarts = needsRestart.map((key) => `${key} takes a restart`)
      await this.#told.reloaded(config, null, [...changed, ...restarts], request)
      return { changed, needsRestart }
    })
  }

  refuseReload(problem: string, request?: number): Promise<void> {
    return this.#inTurn(async () => {
      this.#assertGoesOn()
      await this.#told.reloaded(this.#config, problem, [], request)
    })
  }

  async vitals(): Promise<Vitals> {
    const targets = Object.keys(this.#config.targets)
    const tally = await this.#outbox.tally(targets, this.#clock.now())
    return { ...tally, targets: targets.length, unansweredMs: this.#lanes.unansweredMs(this.#steady.now()) }
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop()
    return this.#stopped
  }

  async #stop(): Promise<void> {
    this.#admin.stopping()
    // The reload that has begun installs what it has prepared, and that is then ended with the rest.
    await this.#reloads
    await this.end(this.shutdownTimeoutMs)
  }

  /** Ends all that runs, attempts after `graceMs`; also what a failed start has left. Each part ends whatever the others do. */
  async end(graceMs: number): Promise<void> {
    // First, because the end of the watches below waits for a check that may be waiting for the reader.
    this.#reader.close()
    this.#freezes.end()
    clearTimeout(this.#unknownPathsTimer)
    await this.#attempt('monitors', () => this.#endWatches())
    await this.#attempt('listener', () => this.#listener.close())
    await this.#attempt('lanes', () => this.#lanes.stop(graceMs))
    // What the lanes have told of up to their end is on disk before the outbox is closed.
    await this.#attempt('alerts', () => this.#alerts.stop())
    await this.#attempt('admin', () => this.#admin.close())
    this.#recalls.end()
    const rest = {
      outbox: this.#outbox,
      launcher: this.#launcher,
      attachments: this.#attachments,
      tracing: this.#tracing,
    }
    await Promise.all(Object.entries(rest).map(([part, each]) => this.#attempt(part, () => each.close())))
  }

  /** Ends a part of the relay; one that cannot be ended is no reason to leave the others running. */
  async #attempt(part: string, end: () => Promise<void>): Promise<void> {
    try {
      await end()
    } catch (error) {
      this.#logger.error({ part, err: error }, 'shutdown incomplete')
    }
  }

  #assertGoesOn(): void {
    if (this.#stopped !== undefined) throw new RelayError('daemon_unreachable', 'the relay is shutting down')
  }

  /** Makes ready for a configuration. What is returned has to be called, all of it: a socket is open for it already. */
  async #prepared(config: Config, lanes: ReadonlyMap<string, ConfiguredLane>) {
    const [useListener, useLanes] = await Promise.all([
      this.#prepareListener(config),
      this.#lanes.prepare(lanes, this.#steady.now()),
    ])
    // The last that may fail: a socket that it has opened must come into use.
    const useAdmin = await this.#admin.prepare(config)
    return { useListener, useLanes, useAdmin }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#reloads.then(work)
    this.#reloads = done.catch(() => {})
    return done
  }

  #prepareListener(config: Config): Promise<() => void> {
    return this.#listener.prepare(config.server.tls, {
      ...config.server,
      sources: sourcesOf(config),
      receive: this.#receive,
      outbox: this.#outbox,
      clock: this.#clock,
      newRequestId,
      log: withUnknownPaths(
        tracedRequests(countedRequests(this.#requestLog, this.#metrics.counts), this.#tracing, this.#clock),
        this.#noteUnknownPath,
        this.#clock,
      ),
    })
  }

  /** The lanes of a configuration; `running` names those that go on as they are. */
  #lanesOf(config: Config, running: (name: string) => Lane | undefined): ReadonlyMap<string, ConfiguredLane> {
    return lanesOf(config, running, {
      outbox: this.#outbox,
      capacities: this.#capacities,
      relayId: this.#outbox.origin?.relayId ?? '',
      launcher: this.#launcher,
      attachments: this.#attachments,
      tracing: this.#tracing,
      clock: this.#steady,
      wallClock: this.#clock,
      random: Math.random,
      log: this.#laneLog,
      unmatched: unmatchedLog(this.#logger),
    })
  }

  #watch(): void {
    const listener = this.#listener
    this.#endWatches = startWatching(this.#config, {
      ...this.#entry,
      outbox: this.#outbox,
      reader: this.#reader,
      silence: this.#silence,
      listener: {
        show: (tls) => {
          listener.show(tls)
          // A reload keeps what it cannot change: not the certificate of the start.
          this.#config = { ...this.#config, server: { ...this.#config.server, tls } }
        },
        get served() {
          return listener.served
        },
      },
      onCertificateFiles: (problem) => {
        this.#certificateProblem = problem
      },
      reserve: this.#reserve,
      alerts: this.#alerts,
      counts: this.#metrics.counts,
      logger: this.#logger,
      random: Math.random,
      clock: this.#clock,
      steady: this.#steady,
      gates: this.#gates,
    })
  }
}

/** What attachments are fetched by: the accounts, and which of them a source belongs to. */
function providerSide({ ultravox, sources }: Config) {
  return { ultravox, accounts: Object.entries(sources).map(([name, { account }]) => [name, account]) }
}

function factsIn(body: Uint8Array): Record<string, unknown> {
  const parsed = parsePayload(Buffer.from(body))
  return 'payload' in parsed ? parsed.payload : {}
}
