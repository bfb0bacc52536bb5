import { Command } from 'commander'
import { type ListedTarget, listedTargets, targetDocument } from '../documents/targets.ts'
import { systemClock } from '../domain/clock.ts'
import { type Pausing, pauseTarget } from '../operations/pausing.ts'
import { NOT_RECALLED } from '../operations/recall.ts'
import { configOption } from './config-file.ts'
import { ago } from './instant.ts'
import { breakerCell, countCell, stateCell, timeoutLines } from './listed-targets.ts'
import { withOutbox } from './open-outbox.ts'
import { outboxConfig } from './outbox-config.ts'
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
      const config = await outboxConfig(options.config)
      const now = systemClock.now()
      const [targets, isRunning] = await withOutbox(config.outbox.path, async (operator) => [
        listedTargets(config, await operator.listTargets(now)),
        (await operator.daemon())?.running === true,
      ])
      print(options.json, { targets: targets.map(targetDocument) }, listed(targets, isRunning, now))
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
      const config = await outboxConfig(options.config)
      const now = systemClock.now()
      const done = await withOutbox(config.outbox.path, (operator) =>
        pauseTarget(operator, config, target, paused, now),
      )
      const queued = `${counted(done.pending, 'delivery')} pending`
      const { underWay = 0 } = done
      const sending = sentAnyway({ underWay, deliveredMeanwhile: 0 })
      const state = stateAfter(done, paused)
      print(options.json, done, `${target} ${state}, ${queued}${sending}\n`)
      if (underWay === null) note(NOT_RECALLED)
      if (!paused && done.pausedByConfig)
        note(`to resume it: remove "paused: true" of targets.${target} from ${config.file}, then reload`)
      if (underWay === null || (!paused && done.pausedByConfig) || !done.isChanged) process.exitCode = 1
    })
}

function stateAfter({ isChanged, pausedByConfig }: Pausing, paused: boolean): string {
  if (paused) return isChanged ? 'is paused' : 'was paused before'
  if (pausedByConfig) return 'stays paused by the configuration'
  return isChanged ? 'is resumed' : 'was not paused'
}

function listed(targets: readonly ListedTarget[], isRunning: boolean, now: number): string {
  const anyHeld = targets.some(({ held }) => held > 0)
  const table = shownTable(
    ['TARGET', 'TYPE', 'STATE', 'BREAKER', 'PENDING', 'BACKOFF', ...(anyHeld ? ['HELD'] : []), 'DEAD', 'OLDEST DUE'],
    targets.map((each) => [
      each.target,
      each.type ?? '',
      stateCell(each, isRunning),
      breakerCell(each, now),
      each.pending,
      countCell(each.backoff, 'yellow'),
      ...(anyHeld ? [countCell(each.held, 'red')] : []),
      countCell(each.dead, 'red'),
      ago(each.oldestDueAt, now),
    ]),
  )
  return `${table}${timeoutLines(targets)}`
}
