import { Command } from 'commander'
import type { Daemon } from '../daemon.ts'
import { exitStatus } from '../domain/errors.ts'
import { VERSION } from '../version.ts'
import { banner } from './banner.ts'
import { configFile, configOption, loadTold } from './config-file.ts'

/** Runs the daemon until SIGTERM or SIGINT. */
export function serveCommand(): Command {
  return new Command('serve')
    .description('run the relay')
    .addOption(configOption())
    .action(async (options: { config?: string }) => {
      const file = configFile(options.config)
      const { config } = loadTold(file)
      // Loaded here, so that the other commands need not wait for all that the daemon is made of.
      const [{ startDaemon }, { createLog }] = await Promise.all([import('../daemon.ts'), import('../logging.ts')])
      const { logger, flush } = createLog()
      const daemon = await startDaemon(config, {
        logger,
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
      // The journal has the line above; people at a terminal get more.
      if (process.env.JOURNAL_STREAM === undefined) process.stderr.write(banner(config, file, daemon.address))
      await stopOnSignal(daemon, (signal) => logger.info({ signal }, 'relay stopping'))
      logger.info('relay stopped')
      await flush()
      // Not waiting for a stdout that is full.
      process.exit(0)
    })
}

/** A second signal is for those who cannot wait: the default action, an end at once. */
function stopOnSignal(daemon: Daemon, tell: (signal: NodeJS.Signals) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (signal: NodeJS.Signals) => {
      process.off('SIGTERM', stop)
      process.off('SIGINT', stop)
      tell(signal)
      daemon.stop().then(resolve, reject)
    }
    process.on('SIGTERM', stop)
    process.on('SIGINT', stop)
  })
}
