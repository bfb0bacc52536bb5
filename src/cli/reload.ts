import { setTimeout as sleep } from 'node:timers/promises'
import { Command } from 'commander'
import { RelayError } from '../domain/errors.ts'
import type { OutboxOperator } from '../outbox/operator.ts'
import { configFile, configOption, loadWithoutSecrets } from './config-file.ts'
import { iso } from './instant.ts'
import { withOutbox } from './open-outbox.ts'
import { examples, jsonOption, print } from './printing.ts'

/** How often it is looked whether the relay has done it, and for how long. */
const LOOK_MS = 50
const PATIENCE_MS = 30_000

const NOT_RUNNING = 'no relay is running on this outbox: start it, and it reads its configuration'

type Running = NonNullable<Awaited<ReturnType<OutboxOperator['daemon']>>>

/** Has the running relay read its configuration anew, and tells what came of it. */
export function reloadCommand(): Command {
  return new Command('reload')
    .description('have the running relay take over its changed configuration; where it is invalid, the old one stays')
    .addOption(configOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('reload', 'reload --config /etc/ultravox-relay/relay.yaml'))
    .action(async (options: { config?: string; json?: boolean }) => {
      const { config } = loadWithoutSecrets(configFile(options.config))
      await withOutbox(config.outbox.path, async (operator) => {
        const { configFile: file, reloadedAt } = await reloadRunning(operator)
        print(options.json, { configFile: file, reloadedAt: iso(reloadedAt!) }, `${file} is reloaded\n`)
      })
    })
}

/** Throws `daemon_unreachable` where none runs or answers, `config_invalid` where it keeps its old configuration. */
export async function reloadRunning(operator: OutboxOperator): Promise<Running> {
  const before = await running(operator)
  signal(before.pid)
  const after = await reloaded(operator, before)
  if (after.reloadProblem === null) return after
  throw new RelayError('config_invalid', `not reloaded, the old configuration stays:\n${after.reloadProblem}`)
}

async function running(operator: OutboxOperator): Promise<Running> {
  const daemon = await operator.daemon()
  if (daemon?.running === true) return daemon
  throw new RelayError('daemon_unreachable', NOT_RUNNING)
}

function signal(pid: number): void {
  try {
    process.kill(pid, 'SIGHUP')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ESRCH') throw new RelayError('daemon_unreachable', NOT_RUNNING, { cause: error })
    if (code !== 'EPERM') throw error
    throw new RelayError('usage', `the relay (process ${pid}) is another user's: reload it as that one, or as root`, {
      cause: error,
    })
  }
}

async function reloaded(operator: OutboxOperator, before: Running): Promise<Running> {
  for (let waitedMs = 0; waitedMs < PATIENCE_MS; waitedMs += LOOK_MS) {
    const now = await running(operator)
    if (now.pid === before.pid && now.reloads > before.reloads) return now
    await sleep(LOOK_MS)
  }
  throw new RelayError('daemon_unreachable', `the relay (process ${before.pid}) has not answered for 30 s: see its log`)
}
