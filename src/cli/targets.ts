import { Command } from 'commander'
import { type ListedTarget, listedTargets, targetDocument } from '../documents/targets.ts'
import { systemClock } from '../domain/clock.ts'
import { pauseTarget } from '../operations/pausing.ts'
import { NOT_RECALLED } from '../operations/recall.ts'
import { configFile, configOption, loadWithoutSecrets } from './config-file.ts'
import { ago } from './instant.ts'
import { breakerCell, countCell, stateCell } from './listed-targets.ts'
import { withOutbox } from './open-outbox.ts'
import { counted, examples, jsonOption, note, print, sentAnyway, shownTable } from './printing.ts'
import { targetsProbeCommand } from './targets-probe.ts'
import { targetsTestCommand } from './targets-test.ts'

interface Options {
  readonly config?: string
  readonly json?: boolean
}

/** How targets are doing, and whether anything is sent to them. Works whether the relay runs or not. */
export function targetsCommand(): Command {
  return new Command('targets')
    .description('look at targets, pause and resume them')
    .addCommand(listCommand())
    .addCommand(pausingCommand('pause'))
    .addCommand(pausingCommand('resume'))
    .addCommand(targetsProbeCommand())
    .addCommand(targetsTestCommand())
}

function listCommand(): Command {
  return new Command('list')
    .description('list targets with what waits for them; orphaned ones have deliveries but are not configured')
    .addOption(configOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('targets list', 'targets list --json'))
    .action(async (options: Options) => {
      const { config } = loadWithoutSecrets(configFile(options.config))
      const now = systemClock.now()
      const targets = await withOutbox(config.outbox.path, async (operator) =>
        listedTargets(config, await operator.listTargets(now)),
      )
      print(options.json, { targets: targets.map(targetDocument) }, listed(targets, now))
    })
}

function pausingCommand(name: 'pause' | 'resume'): Command {
  const paused = name === 'pause'
  const description = paused
    ? 'send nothing more to a target; what comes for it is queued, over restarts too'
    : 'send to a paused target again, what has queued up first'
  return new Command(name)
    .description(description)
    .argument('<name>', 'the target; an orphaned one will do')
    .addOption(configOption())
    .addOption(jsonOption())
    .addHelpText('after', examples(`targets ${name} crm`))
    .action(async (target: string, options: Options) => {
      const { config } = loadWithoutSecrets(configFile(options.config))
      const now = systemClock.now()
      const done = await withOutbox(config.outbox.path, (operator) =>
        pauseTarget(operator, config, target, paused, now),
      )
      const queued = `${counted(done.pending, 'delivery')} pending`
      const { underWay = 0 } = done
      const sending = sentAnyway({ underWay, deliveredMeanwhile: 0 })
      print(options.json, done, `${target} is ${paused ? 'paused' : 'resumed'}, ${queued}${sending}\n`)
      if (underWay === null) {
        note(NOT_RECALLED)
        process.exitCode = 1
      }
      if (!paused && done.pausedByConfig)
        note(`the configuration itself pauses ${target} (paused: true): nothing is sent`)
    })
}

function listed(targets: readonly ListedTarget[], now: number): string {
  const anyHeld = targets.some(({ held }) => held > 0)
  return shownTable(
    ['TARGET', 'TYPE', 'STATE', 'BREAKER', 'PENDING', 'BACKOFF', ...(anyHeld ? ['HELD'] : []), 'DEAD', 'OLDEST DUE'],
    targets.map((each) => [
      each.target,
      each.type ?? '',
      stateCell(each),
      breakerCell(each, now),
      each.pending,
      countCell(each.backoff, 'yellow'),
      ...(anyHeld ? [countCell(each.held, 'red')] : []),
      countCell(each.dead, 'red'),
      ago(each.oldestDueAt, now),
    ]),
  )
}
