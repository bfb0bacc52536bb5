import { setTimeout as sleep } from 'node:timers/promises'
import { iso } from '../documents/instants.ts'
import { RelayError } from '../domain/errors.ts'
import type { OutboxOperator } from '../outbox/operator.ts'

/** How often it is looked whether the relay has done it, and for how long. */
const LOOK_MS = 50
const PATIENCE_MS = 30_000

const NOT_RUNNING = 'no relay is running on this outbox: start it, and it reads its configuration'

type Running = NonNullable<Awaited<ReturnType<OutboxOperator['daemon']>>>
type Onlooker = Pick<OutboxOperator, 'daemon'>

/**
 * Has the running relay read its configuration anew. Throws `daemon_unreachable`, `usage` (it is another user's), or
 * `config_invalid` where it stays with the old one.
 */
export async function reloadDaemon(operator: Onlooker): Promise<{ configFile: string; reloadedAt: string }> {
  const before = await running(operator)
  signal(before.pid)
  const { configFile, reloadedAt, reloadProblem } = await reloaded(operator, before)
  if (reloadProblem !== null) {
    throw new RelayError('config_invalid', `not reloaded, the old configuration stays:\n${reloadProblem}`)
  }
  return { configFile, reloadedAt: iso(reloadedAt!) }
}

async function running(operator: Onlooker): Promise<Running> {
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

async function reloaded(operator: Onlooker, before: Running): Promise<Running> {
  for (let waitedMs = 0; waitedMs < PATIENCE_MS; waitedMs += LOOK_MS) {
    const now = await running(operator)
    if (now.pid === before.pid && now.reloads > before.reloads) return now
    await sleep(LOOK_MS)
  }
  throw new RelayError('daemon_unreachable', `the relay (process ${before.pid}) has not answered for 30 s: see its log`)
}
