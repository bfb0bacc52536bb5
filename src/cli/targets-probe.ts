import { Command } from 'commander'
import { systemClock } from '../domain/clock.ts'
import { type Probing, probeDocument, probeObstacle, probeTarget } from '../operations/probing.ts'
import { configOption } from './config-file.ts'
import { duration } from './instant.ts'
import { interruptible } from './interruption.ts'
import { withOutbox } from './open-outbox.ts'
import { outboxConfig } from './outbox-config.ts'
import { counted, examples, jsonOption, print } from './printing.ts'
import { oneLine } from './table.ts'

interface Options {
  readonly config?: string
  readonly json?: boolean
}

/** Has the running relay make one attempt now. Exits with 0 only if the target accepted it. */
export function targetsProbeCommand(): Command {
  return new Command('probe')
    .description('have the running relay make one attempt now, whatever the cooldown, backoff or throttle')
    .argument('<name>', 'the target')
    .addOption(configOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `\nIt sends a pending delivery, one that has not failed if there is any. Exits with 0 if the target accepted it.
${examples('targets probe crm', 'targets probe crm --json')}`,
    )
    .action(async (target: string, options: Options) => {
      const config = await outboxConfig(options.config)
      const probing = await withOutbox(config.outbox.path, (operator) =>
        interruptible((signal) => probeTarget(operator, config, target, () => systemClock.now(), signal)),
      )
      print(options.json, probeDocument(probing), `${inWords(probing, systemClock.now())}\n`)
      if (probing.attempt?.outcome !== 'delivered') process.exitCode = 1
    })
}

function inWords(probing: Probing, now: number): string {
  const { target, delivery, attempt, probeAt, pending } = probing
  const circuit =
    probeAt === null
      ? 'circuit closed'
      : `circuit open, probe ${probeAt > now ? `in ${duration(probeAt - now)}` : 'due'}`
  const queue = `${circuit}, ${counted(pending, 'delivery')} pending`
  const obstacle = probeObstacle(probing)
  if (obstacle !== null || delivery === null || attempt === null)
    return `${obstacle ?? 'the attempt is not on record'}\n${queue}`
  const { outcome, status, error, durationMs } = attempt
  const answer = status === null ? 'no answer' : `status ${status}`
  const end =
    outcome === 'delivered'
      ? `accepted delivery ${delivery.deliveryId}`
      : `did not accept delivery ${delivery.deliveryId}`
  const why = outcome === 'delivered' || error === null ? '' : `\n${oneLine(error)}`
  return `${target} ${end} (${delivery.event}): ${answer}, ${durationMs} ms${why}\n${queue}`
}
