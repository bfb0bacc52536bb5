import { setTimeout as sleep } from 'node:timers/promises'
import { iso } from '../documents/instants.ts'
import { RelayError } from '../domain/errors.ts'
import type { OutboxOperator } from '../outbox/operator.ts'

/** How often the answer is looked for, and for how long. */
const LOOK_MS = 50
const PATIENCE_MS = 30_000

const NOT_RUNNING = 'no relay is running on this outbox: start it, and it reads its configuration'

type Running = NonNullable<Awaited<ReturnType<OutboxOperator['daemon']>>>
type Desk = Pick<OutboxOperator, 'daemon' | 'requestReload' | 'listTargets'>

export interface Reload {
  readonly configFile: string
  /** In ISO. */
  readonly reloadedAt: string
  /** What is different now, by name and without values, and what takes a restart. */
  readonly changes: readonly string[]
  /** Targets that are not configured any more and have pending or dead deliveries. */
  readonly orphaned: readonly { readonly target: string; readonly pending: number; readonly dead: number }[]
}

/**
 * Asks the running relay to reload its configuration, and waits for the answer. Both go through the outbox: a process id means
 * nothing outside of the relay's container, and may belong to another process by now. Throws `daemon_unreachable`,
 * `outbox_unavailable` where the outbox cannot be written to, and `config_invalid` where the relay stays with the old
 * configuration.
 */
export async function reloadDaemon(operator: Desk): Promise<Reload> {
  const before = await running(operator)
  const request = await operator.requestReload()
  const { configFile, startedAt, reloadedAt, reloadProblem, reloadChanges, configuration } = await answered(
    operator,
    before,
    request,
  )
  if (reloadProblem !== null) {
    throw new RelayError('config_invalid', `not reloaded, the old configuration stays:\n${reloadProblem}`)
  }
  const { targets = {} } = (configuration ?? {}) as { targets?: object }
  const orphaned = (await operator.listTargets(reloadedAt ?? startedAt))
    .filter(({ target, pending, dead }) => pending + dead > 0 && !Object.hasOwn(targets, target))
    .map(({ target, pending, dead }) => ({ target, pending, dead }))
  return { configFile, reloadedAt: iso(reloadedAt ?? startedAt), changes: [...reloadChanges], orphaned }
}

async function running(operator: Desk): Promise<Running> {
  const daemon = await operator.daemon()
  if (daemon?.running === true) return daemon
  throw new RelayError('daemon_unreachable', NOT_RUNNING)
}

async function answered(operator: Desk, before: Running, request: number): Promise<Running> {
  for (let waitedMs = 0; waitedMs < PATIENCE_MS; waitedMs += LOOK_MS) {
    const now = await running(operator)
    // One that was started meanwhile has read the configuration at its start.
    if (now.startedAt !== before.startedAt || now.answeredReload >= request) return now
    await sleep(LOOK_MS)
  }
  throw new RelayError('daemon_unreachable', `the relay (process ${before.pid}) has not answered for 30 s: see its log`)
}
