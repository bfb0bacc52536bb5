import { Command, InvalidArgumentError, Option } from 'commander'
import type { Config } from '../config/config.ts'
import { formatProblem } from '../config/problem.ts'
import { ConfigReader } from '../config/reader.ts'
import { parseListen } from '../config/schema/server-schema.ts'
import { watchedEnvironment } from '../config/watched-environment.ts'
import type { Daemon } from '../daemon.ts'
import { errorMessage, exitStatus } from '../domain/errors.ts'
import { removeLeftovers } from '../leftovers.ts'
import type { Logger } from '../logging.ts'
import { inheritedSocket } from '../systemd/listen-fds.ts'
import { createService, type Service } from '../systemd/service.ts'
import { VERSION } from '../version.ts'
import { banner } from './banner.ts'
import { leaveClosedTerminals } from './closed-terminal.ts'
import { configFile, configOption, loadTold } from './config-file.ts'
import { ownInit, startUnderInit } from './init-process.ts'
import { logLine } from './log-line.ts'
import { goOnWithoutReader, isTerminal, styledText, writeError } from './output.ts'
import { examples } from './printing.ts'
import { hideFromProc } from './process-environment.ts'

interface ServeOptions {
  readonly config?: string
  readonly create?: boolean
  readonly listen?: Config['server']['listen']
  readonly logFormat: 'auto' | 'json' | 'pretty'
}

/** Runs the daemon until SIGTERM or SIGINT. */
export function serveCommand(): Command {
  return new Command('serve')
    .description('run the relay')
    .addOption(configOption())
    .addOption(
      new Option('--log-format <format>', 'log lines as JSON, or for people; auto: for people at a terminal')
        .choices(['auto', 'json', 'pretty'])
        .default('auto'),
    )
    .addOption(
      new Option('--listen <host:port>', 'the address to listen on, whatever server.listen says').argParser(
        parseListenOption,
      ),
    )
    .option('--create', 'create the outbox where there is none, whatever outbox.createIfMissing says')
    .addHelpText('after', examples('serve', 'serve --config /etc/ultravox-relay/relay.yaml'))
    .action(async (options: ServeOptions) => {
      const hasInit = startUnderInit()
      const file = configFile(options.config)
      // The log is written to the descriptor, and counts what it cannot write. Ending on an error is for the other commands.
      goOnWithoutReader()
      leaveClosedTerminals()
      const environment = new Environment()
      const withListen = (config: Config) => listeningOn(config, options.listen)
      const config = withListen(loadTold(file, environment.env).config)
      const areHidden = environment.hide(config)
      // From here on: what comes while the relay starts is done when it has. It may be answering requests already.
      const reloads = new Reloads()
      const stop = stopSignal()
      // Loaded here, so that the other commands need not wait for all that the daemon is made of.
      const [{ startDaemon }, { createLog }] = await Promise.all([import('../daemon.ts'), import('../log-output.ts')])
      const { logger, flush, dropped } = createLog({
        level: config.log.level,
        ...(isPretty(options.logFormat) && { shape: (json) => styledText(logLine(json)) }),
      })
      if (!areHidden) logger.warn('secrets in the environment cannot be hidden from programs of the same user')
      if (!hasInit && Object.values(config.targets).some(({ type }) => type === 'exec')) logger.warn(NO_INIT)
      for (const { path, problem } of removeLeftovers(config)) {
        if (problem === null) logger.warn({ file: path }, 'partial file of a killed process removed')
        else logger.warn({ file: path, problem }, 'partial file of a killed process not removed')
      }
      const service = serviceOf(logger)
      let shutdownTimeoutMs = () => config.server.shutdownTimeoutMs
      void stop.then(() => endAtLast(shutdownTimeoutMs() + END_WITHIN_MS, logger, flush))
      const daemon = await startDaemon(config, {
        logger,
        create: options.create === true,
        droppedLogLines: dropped,
        inheritedFd: inheritedSocket(process.env, process.pid),
        onReloadRequest: (request) => reloads.ask(request),
        onFailure(error) {
          // Nothing can be saved by going on, and what is acknowledged is on disk. systemd starts it again.
          logger.fatal({ code: error.code, error: error.message }, 'outbox failed')
          void flush().then(() => process.exit(exitStatus(error.code)))
        },
      })
      logger.info(
        { version: VERSION, listen: daemon.address, outbox: config.outbox.path, config: config.file },
        'relay started',
      )
      shutdownTimeoutMs = () => daemon.shutdownTimeoutMs
      service.ready(daemon)
      const reader = new ConfigReader()
      const reloadFor = (request?: number) =>
        reload(daemon, config.file, withListen, environment, reader, logger, request)
      reloads.begin((request) => service.reloading(() => reloadFor(request)))
      // The journal has the line above; people at a terminal get more.
      if (process.env.JOURNAL_STREAM === undefined) writeError(banner(config, file, daemon.address))
      logger.info({ signal: await stop }, 'relay stopping')
      reloads.end()
      reader.close()
      await Promise.all([service.stopping(), daemon.stop()])
      logger.info('relay stopped')
      await flush()
      // Not waiting for a stdout that is full.
      process.exit(0)
    })
}

function parseListenOption(text: string): Config['server']['listen'] {
  const address = parseListen(text)
  if (address !== undefined) return address
  throw new InvalidArgumentError('write host:port, such as 127.0.0.1:8080 or [::1]:8080')
}

function listeningOn(config: Config, listen: Config['server']['listen'] | undefined): Config {
  return listen === undefined ? config : { ...config, server: { ...config.server, listen } }
}

const NO_INIT =
  'running as process 1: what hooks leave behind stays as zombies; start the relay under an init (docker run --init, tini)'

/** How long a shutdown may take beyond `server.shutdownTimeout`, within which attempts end: hooks, the outbox, the log. */
const END_WITHIN_MS = 10_000

/**
 * Kills the process if the shutdown takes longer than this. What is stuck then, such as a write to a failing disk, sits in a
 * thread that `process.exit` would wait for. What is acknowledged is on disk.
 */
function endAtLast(ms: number, logger: Logger, flush: () => Promise<void>): void {
  setTimeout(() => {
    logger.fatal({ afterMs: ms }, 'shutdown timed out, process killed')
    void flush().finally(() => process.kill(process.pid, 'SIGKILL'))
  }, ms).unref()
}

/** journald is no terminal, and somebody who leads the lines into a file or another program wants to read them by one. */
function isPretty(format: 'auto' | 'json' | 'pretty'): boolean {
  return format === 'auto' ? isTerminal() : format === 'pretty'
}

function serviceOf(logger: Logger): Service {
  return createService({
    env: process.env,
    pid: process.pid,
    unheard: (problem) => logger.warn({ problem }, 'systemd not notified'),
    lifeless: (problem) => logger.error({ problem }, 'no sign of life for systemd'),
  })
}

/** Reloads the configuration, at every SIGHUP (`systemctl reload`) and request (`ultravox-relay reload`). False: rejected. */
async function reload(
  daemon: Daemon,
  file: string,
  withListen: (config: Config) => Config,
  environment: Environment,
  reader: ConfigReader,
  logger: Logger,
  request?: number,
): Promise<boolean> {
  try {
    const { warnings, read, credentials, ...loaded } = await reader.ask('load', { file, env: { ...process.env } })
    const config = withListen(loaded.config)
    environment.noteRead(read)
    environment.hide(config)
    for (const warning of warnings) logger.warn({ problem: formatProblem(warning) }, 'configuration warning')
    const { changed, needsRestart } = await daemon.reload(config, request)
    logger.level = config.log.level
    logger.info({ changed }, 'configuration reloaded')
    // systemd copies them when it starts the relay.
    if (credentials.length > 0)
      logger.info({ credentials }, 'credentials are those of the start, a restart renews them')
    if (needsRestart.length > 0) logger.warn({ keys: needsRestart }, 'changes that take a restart')
    return true
  } catch (error) {
    const problem = errorMessage(error)
    logger.error({ problem: problem.split('\n') }, 'configuration not reloaded, the old one stays')
    await daemon.refuseReload(problem, request).catch(() => {})
    return false
  }
}

/** The environment that the configuration refers to. */
class Environment {
  readonly #watched = watchedEnvironment(process.env)
  readonly env = this.#watched.env

  noteRead(names: readonly string[]): void {
    for (const name of names) this.#watched.read.add(name)
  }

  /** Hides what the configuration has read, and what it passes to some programs and not to others. False: not possible. */
  hide({ targets }: Config): boolean {
    const passed = Object.values(targets).flatMap((target) => (target.type === 'exec' ? target.passEnv : []))
    return hideFromProc([...this.#watched.read, ...passed], ownInit())
  }
}

type Reload = (request?: number) => Promise<void>

/** Signals and requests that ask for a reload. One is carried out at a time, and serves all that were asked for before it began. */
class Reloads {
  /** Undefined until there is something to reload. */
  #reload: Reload | undefined
  #asked: { readonly request: number | undefined } | undefined
  #isRunning = false

  constructor() {
    process.on('SIGHUP', () => this.ask())
  }

  /** `request`: the number of a command's request; absent for a signal. */
  ask(request?: number): void {
    this.#asked = { request: request ?? this.#asked?.request }
    void this.#run()
  }

  begin(reload: Reload): void {
    this.#reload = reload
    void this.#run()
  }

  /** A relay that stops has nothing to reload, and the signal must not end it in the middle of that. */
  end(): void {
    this.#reload = undefined
  }

  async #run(): Promise<void> {
    if (this.#isRunning) return
    this.#isRunning = true
    try {
      while (this.#reload !== undefined && this.#asked !== undefined) {
        const { request } = this.#asked
        this.#asked = undefined
        await this.#reload(request)
      }
    } finally {
      this.#isRunning = false
    }
  }
}

/** The first signal that asks for the end. A second is for those who cannot wait: the default action, an end at once. */
function stopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    const stop = (signal: NodeJS.Signals) => {
      process.off('SIGTERM', stop)
      process.off('SIGINT', stop)
      resolve(signal)
    }
    process.on('SIGTERM', stop)
    process.on('SIGINT', stop)
  })
}
