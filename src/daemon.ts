import type { AddressInfo } from 'node:net'
import { v7 as uuid } from 'uuid'
import type { Config, TargetConfig } from './config/config.ts'
import { Lane } from './delivery/lane.ts'
import { createRate, UNLIMITED } from './delivery/rate-limit.ts'
import { type Clock, systemClock } from './domain/clock.ts'
import { errorMessage, RelayError } from './domain/errors.ts'
import type { Payload } from './domain/event.ts'
import { evaluationProblem } from './domain/expression.ts'
import { compileRoute, routeEvent } from './domain/routing.ts'
import { ADMISSION_LIMITS, admit } from './ingest/admission.ts'
import { createListener } from './ingest/listener.ts'
import { createReceiver } from './ingest/receiver.ts'
import { type Logger, laneLog, listenerLog } from './logging.ts'
import type { Outbox } from './outbox/outbox.ts'
import { SqliteOutbox } from './outbox/sqlite/sqlite-outbox.ts'
import { noVerification } from './sources/none.ts'
import { createUltravoxScheme } from './sources/ultravox.ts'
import { concealing } from './targets/concealing.ts'
import { createExecTarget } from './targets/exec.ts'
import { createHttpTarget } from './targets/http.ts'
import { createSlackTarget } from './targets/slack.ts'
import type { Target } from './targets/target.ts'

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
  const outbox = await SqliteOutbox.open(config.outbox.path, onFailure)
  const lanes = createLanes(config, outbox, logger, clock)
  const stopLanes = () => Promise.all([...lanes.values()].map((lane) => lane.stop(config.server.shutdownTimeoutMs)))
  try {
    const listener = await createIngest(config, outbox, lanes, logger, clock)
    const address = await listen(listener, config.server.listen)
    // What is left of the last run.
    for (const lane of lanes.values()) lane.wake()
    return {
      address,
      async stop() {
        await listener.close()
        await stopLanes()
        await outbox.close()
      },
    }
  } catch (error) {
    await stopLanes()
    await outbox.close()
    throw error
  }
}

function createLanes(config: Config, outbox: Outbox, logger: Logger, clock: Clock): Map<string, Lane> {
  const log = laneLog(logger)
  const lane = ([name, target]: [string, TargetConfig]) =>
    [
      name,
      new Lane({
        target: createTarget(name, target, config.directory, clock),
        outbox,
        concurrency: target.concurrency,
        rate: target.rateLimit === null ? UNLIMITED : createRate(target.rateLimit),
        policy: target.retry,
        clock,
        random: Math.random,
        log,
      }),
    ] as const
  return new Map(Object.entries(config.targets).map(lane))
}

function createTarget(name: string, target: TargetConfig, directory: string, clock: Clock): Target {
  switch (target.type) {
    case 'http': {
      const { headers, sign } = target
      return concealing(createHttpTarget({ name, ...target }, clock), [
        ...Object.values(headers),
        ...(sign?.secrets ?? []),
      ])
    }
    case 'slack':
      return concealing(createSlackTarget({ name, ...target }, clock), [target.webhookUrl])
    case 'exec':
      return concealing(createExecTarget({ name, directory, ...target }), Object.values(target.env))
  }
}

function createIngest(config: Config, outbox: Outbox, lanes: Map<string, Lane>, logger: Logger, clock: Clock) {
  const routes = config.routes.map(compileRoute)
  const route = (payload: Payload) =>
    routeEvent(routes, payload, (index, error) =>
      logger.warn(
        { route: index, event: payload.event, error: evaluationProblem(error) },
        'route condition failed, taken as true',
      ),
    )
  return createListener({
    ...config.server,
    sources: Object.entries(config.sources).map(([name, source]) => ({
      name,
      path: source.path,
      scheme: source.scheme === 'none' ? noVerification : createUltravoxScheme(source.secrets, source.toleranceMs),
    })),
    receive: createReceiver({
      outbox: { record: admit(outbox.record.bind(outbox), ADMISSION_LIMITS), reject: outbox.reject.bind(outbox) },
      clock,
      newEventId: () => `evt_${uuid().replaceAll('-', '')}`,
      route,
      onRecorded: (targets) => {
        for (const target of targets) lanes.get(target)?.wake()
      },
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
    await listener.listen({ host, port })
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
