import type { Config } from './config/config.ts'
import { knownSecrets } from './config/known-secrets.ts'
import { configOnRecord } from './config/on-record.ts'
import type { Clock } from './domain/clock.ts'
import { errorMessage } from './domain/errors.ts'
import type { Logger } from './logging.ts'
import type { DaemonState, Outbox, UnknownPath } from './outbox/outbox.ts'
import { VERSION } from './version.ts'

export interface ToldStateOptions {
  readonly outbox: Pick<Outbox, 'saveDaemon'>
  readonly clock: Clock
  readonly logger: Logger
}

/** What the daemon tells of itself to the commands, by way of the outbox. */
export class ToldState {
  readonly #options: ToldStateOptions
  #state: DaemonState | undefined

  constructor(options: ToldStateOptions) {
    this.#options = options
  }

  started(config: Config, listen: string): Promise<void> {
    const startedAt = this.#options.clock.now()
    const reloads = {
      reloads: 0,
      reloadedAt: null,
      reloadProblem: null,
      answeredReload: 0,
      reloadChanges: [],
      unknownPaths: [],
    }
    return this.#save(config, {
      pid: process.pid,
      version: VERSION,
      listen,
      configFile: config.file,
      startedAt,
      ...reloads,
    })
  }

  /**
   * `problem`: why a reload has changed nothing; null where it worked. `reloadChanges`: what it has changed, by name. `request`: the
   * number of the request it serves.
   */
  reloaded(config: Config, problem: string | null, reloadChanges: readonly string[], request = 0): Promise<void> {
    const state = this.#state!
    const answeredReload = Math.max(state.answeredReload, request)
    const reloadedAt = this.#options.clock.now()
    return this.#save(config, {
      ...state,
      reloads: state.reloads + 1,
      reloadedAt,
      reloadProblem: problem,
      answeredReload,
      reloadChanges,
    })
  }

  /** Requests to unknown paths, of which the commands know at the latest a minute later. */
  async noteUnknownPaths(unknownPaths: readonly UnknownPath[]): Promise<void> {
    if (this.#state === undefined) return
    this.#state = { ...this.#state, unknownPaths }
    await this.#options.outbox.saveDaemon(this.#state).catch(() => {})
  }

  /** Whether the outbox can be written to is known only by doing so. Rejects where it cannot. */
  async rewrite(): Promise<void> {
    if (this.#state === undefined) throw new Error('the relay is being started')
    await this.#options.outbox.saveDaemon(this.#state)
  }

  async #save(config: Config, told: Omit<DaemonState, 'secrets' | 'configuration'>): Promise<void> {
    const { outbox, logger } = this.#options
    const state = { ...told, secrets: knownSecrets(config), configuration: configOnRecord(config) }
    this.#state = state
    try {
      await outbox.saveDaemon(state)
    } catch (error) {
      // The commands know less; nothing else hangs on it.
      logger.warn({ error: errorMessage(error) }, 'state of the relay not recorded')
    }
  }
}
