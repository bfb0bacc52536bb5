import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { AdminLog } from './admin/app.ts'
import type { CertificateReadings, Readings } from './admin/gauges.ts'
import { AdminListener } from './admin/listener.ts'
import type { Metrics } from './admin/metrics.ts'
import type { AdminConfig, Config } from './config/config.ts'
import { sameConfig } from './config/difference.ts'
import type { ConfigReader } from './config/reader.ts'
import { hasRotatable, type UnfinishedRotation } from './config/rotation-state.ts'
import { clientCertificates } from './config/server-tls.ts'
import type { ServedCertificate } from './documents/certificate.ts'
import { listedTargets } from './documents/targets.ts'
import { type Clock, systemStopwatch } from './domain/clock.ts'
import { errorMessage, RelayError } from './domain/errors.ts'
import { adminLog, type Logger } from './logging.ts'
import { openOperatorThread, type ThreadedOperator } from './outbox/sqlite/operator-thread.ts'
import { freeBytesAt } from './upkeep/free-space.ts'

export interface AdminSideOptions {
  readonly metrics: Metrics
  /** Writes something to the outbox that changes nothing. */
  readonly write: () => Promise<void>
  /** Why there is no room for events; null where there is. */
  readonly lackOfSpace: () => string | null
  /** What the public listener serves. */
  readonly certificate: () => ServedCertificate
  /** Since when the outbox exists, in epoch milliseconds. */
  readonly createdAt: number
  readonly newRequestId: () => string
  readonly reader: ConfigReader
  readonly clock: Clock
  readonly logger: Logger
}

/** The admin listener and all that is behind it, as far as the configuration wants it. */
export class AdminSide {
  readonly #options: AdminSideOptions
  #operator: ThreadedOperator | undefined
  #listener: AdminListener | undefined
  #isStopping = false

  constructor(options: AdminSideOptions) {
    this.#options = options
  }

  /**
   * Makes ready for a configuration; the call of what this returns puts it in place, and has to follow. Throws
   * `listen_failed` or as the opening of an outbox; then nothing has changed.
   */
  async prepare(config: Config): Promise<() => void> {
    const { metrics, logger } = this.#options
    const { admin } = config
    const before = this.#listener
    const expect = () => metrics.counts.expect(expectedOf(config))
    if (admin === null) {
      return () => {
        expect()
        this.#listener = undefined
        void before?.close()
      }
    }
    this.#operator ??= await openOperatorThread(config.outbox.path, {
      onEnd: (problem) => logger.error({ problem }, 'thread of the admin API ended, it is started again'),
    })
    const log = adminLog(logger)
    const app = await this.#app(config, admin, this.#operator, log)
    const stays = before !== undefined && sameConfig(before.listen, admin.listen)
    const listener = stays
      ? before
      : await openBeside(before, admin.listen, app, this.#options.newRequestId, (request) => log.unreadable(request))
    return () => {
      expect()
      metrics.watchProcess()
      try {
        listener.use(app, admin.socketMode, config.server.maxHeaderSizeBytes)
      } catch (error) {
        // The rest of the configuration is in place already.
        logger.error({ problem: errorMessage(error) }, 'mode of the admin socket not set')
      }
      this.#listener = listener
      if (stays) return
      logger.info({ listen: listener.address }, 'admin listener opened')
      void before?.close()
    }
  }

  /** From now on the relay is not ready. It goes on answering until it is closed. */
  stopping(): void {
    this.#isStopping = true
  }

  async close(): Promise<void> {
    await this.#listener?.close()
    await this.#operator?.close()
  }

  async #app(config: Config, { listen, hosts, token }: AdminConfig, operator: ThreadedOperator, log: AdminLog) {
    // Loaded where there is an `admin` section: with what checks requests by their schemas, it is a tenth of the relay.
    const { createAdminApp } = await import('./admin/app.ts')
    const { metrics, write, lackOfSpace, certificate, createdAt, newRequestId, clock } = this.#options
    return createAdminApp({
      access: { host: 'host' in listen ? listen.host : null, hosts, token },
      config,
      operator,
      readiness: { isStopping: () => this.#isStopping, write, lackOfSpace },
      metrics,
      certificate,
      rotations: (of) => rotationsOf(of, this.#options.reader),
      read: async () => ({
        ...(await read(config, operator, createdAt, clock)),
        certificates: certificatesOf(config, certificate()),
      }),
      newRequestId,
      clock,
      stopwatch: systemStopwatch,
      log,
    })
  }
}

/** Both sockets are open for a moment, so that a reload that fails has changed nothing. */
async function openBeside(
  before: AdminListener | undefined,
  ...args: Parameters<typeof AdminListener.open>
): Promise<AdminListener> {
  try {
    return await AdminListener.open(...args)
  } catch (error) {
    const [listen] = args
    if (!('port' in listen) || before?.address.endsWith(`:${listen.port}`) !== true) throw error
    const message = `${errorMessage(error)}; the relay itself has this port: take another one, or restart it`
    throw new RelayError('listen_failed', message, { cause: error })
  }
}

/** What cannot be read is part of the answer. */
async function rotationsOf({ ultravox, sources }: Config, reader: ConfigReader): Promise<UnfinishedRotation[]> {
  if (!hasRotatable({ ultravox, sources })) return []
  try {
    return await reader.ask('rotations', { ultravox, sources })
  } catch (error) {
    return [{ which: '', problem: errorMessage(error) }]
  }
}

/** What is counted under names is what the configuration names. */
function expectedOf({ sources, targets, ultravox }: Config) {
  return {
    sources: Object.keys(sources),
    targets: Object.keys(targets),
    reconciled: ultravox.flatMap(({ reconcile }) => reconcile?.source ?? []),
  }
}

async function read(
  config: Config,
  operator: Pick<ThreadedOperator, 'listTargets'>,
  createdAt: number,
  clock: Clock,
): Promise<Readings> {
  const { path, reserveBytes } = config.outbox
  const at = clock.now()
  const [summaries, bytes, walBytes, free] = await Promise.all([
    operator.listTargets(at).catch(() => null),
    sizeOf(path),
    sizeOf(`${path}-wal`),
    freeBytesAt(dirname(path)),
  ])
  const targets = summaries && listedTargets(config, summaries)
  return { at, targets, createdAt, bytes, walBytes, freeBytes: free, reserveBytes }
}

function certificatesOf(config: Config, { served, problem }: ServedCertificate): CertificateReadings {
  return { served, reloadFailed: problem !== null, clients: clientCertificates(config) }
}

/** 0 for a file that is not there. */
async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(() => null))?.size ?? 0
}
