import { Command } from 'commander'
import type { Config } from '../config/config.ts'
import { systemClock } from '../domain/clock.ts'
import type { OutboxOperator, TargetSummary } from '../outbox/operator.ts'
import { configFile, configOption, loadTold } from './config-file.ts'
import { duration, isoOrNull } from './instant.ts'
import { unknownTarget } from './known-target.ts'
import { withOutbox } from './open-outbox.ts'
import { counted, examples, jsonOption, note, print, shownTable } from './printing.ts'

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
}

function listCommand(): Command {
  return new Command('list')
    .description('list targets with what waits for them; orphaned ones have deliveries but are not configured')
    .addOption(configOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('targets list', 'targets list --json'))
    .action(async (options: Options) => {
      const { config } = loadTold(configFile(options.config))
      const now = systemClock.now()
      const targets = await withOutbox(config.outbox.path, (operator) => targetsOf(config, operator, now))
      const documents = targets.map(({ breaker, oldestDueAt, ...target }) => ({
        ...target,
        breaker: breaker === null ? 'closed' : 'open',
        probeAt: isoOrNull(breaker?.probeAt ?? null),
        oldestDueAt: isoOrNull(oldestDueAt),
      }))
      print(options.json, { targets: documents }, listed(targets, now))
    })
}

function pausingCommand(name: 'pause' | 'resume'): Command {
  const paused = name === 'pause'
  const description = paused
    ? 'send nothing more to a target; what comes for it is queued, over restarts too'
    : 'send to a paused target again, what has queued up first'
  return new Command(name)
    .description(`${description}. A running relay notices within two seconds`)
    .argument('<name>', 'the target; an orphaned one will do')
    .addOption(configOption())
    .addOption(jsonOption())
    .addHelpText('after', examples(`targets ${name} crm`))
    .action(async (target: string, options: Options) => {
      const { config } = loadTold(configFile(options.config))
      await withOutbox(config.outbox.path, async (operator) => {
        const targets = await targetsOf(config, operator, systemClock.now())
        const known = targets.find((each) => each.target === target)
        if (known === undefined)
          throw unknownTarget(
            target,
            targets.map((each) => each.target),
          )
        await operator.setPaused(target, paused, systemClock.now())
        const { pausedByConfig, pending } = known
        const queued = `${counted(pending, 'delivery')} pending`
        print(
          options.json,
          { target, pausedByCommand: paused, pausedByConfig, pending },
          `${target} is ${paused ? 'paused' : 'resumed'}, ${queued}\n`,
        )
        if (!paused && pausedByConfig) note(`the configuration itself pauses ${target} (paused: true): nothing is sent`)
      })
    })
}

interface ListedTarget extends Omit<TargetSummary, 'paused'> {
  /** Null where it is not configured. */
  readonly type: string | null
  readonly configured: boolean
  readonly pausedByConfig: boolean
  readonly pausedByCommand: boolean
}

/** The configured targets in the order of the configuration, then the orphaned ones. */
async function targetsOf({ targets }: Config, operator: OutboxOperator, now: number): Promise<ListedTarget[]> {
  const summaries = new Map((await operator.listTargets(now)).map((summary) => [summary.target, summary]))
  const orphaned = [...summaries.values()].filter(
    // One that is gone and has left nothing but the memory of a closed breaker is of no interest.
    ({ target, paused, breaker, pending, dead }) =>
      !Object.hasOwn(targets, target) && (paused || breaker !== null || pending > 0 || dead > 0),
  )
  return [...Object.keys(targets), ...orphaned.map(({ target }) => target)].map((target) => {
    const { paused, ...summary } = summaries.get(target) ?? { ...NOTHING, target }
    const configured = Object.hasOwn(targets, target) ? targets[target]! : null
    const pausedByConfig = configured?.paused ?? false
    return {
      ...summary,
      type: configured?.type ?? null,
      configured: configured !== null,
      pausedByConfig,
      pausedByCommand: paused,
    }
  })
}

const NOTHING = { paused: false, breaker: null, pending: 0, retrying: 0, dead: 0, oldestDueAt: null }

function listed(targets: readonly ListedTarget[], now: number): string {
  return shownTable(
    ['TARGET', 'TYPE', 'STATE', 'BREAKER', 'PENDING', 'RETRYING', 'DEAD', 'OLDEST DUE'],
    targets.map((each) => [
      each.target,
      each.type ?? '',
      stateOf(each),
      each.breaker === null ? 'closed' : `open, probe ${probe(each.breaker.probeAt - now)}`,
      each.pending,
      each.retrying,
      each.dead,
      each.oldestDueAt === null ? '' : `${duration(now - each.oldestDueAt)} ago`,
    ]),
  )
}

function stateOf({ configured, pausedByConfig, pausedByCommand }: ListedTarget): string {
  const paused = pausedByConfig ? 'paused (configuration)' : pausedByCommand ? 'paused' : ''
  if (!configured) return paused === '' ? 'orphaned' : `orphaned, ${paused}`
  return paused === '' ? 'running' : paused
}

function probe(inMs: number): string {
  return inMs <= 0 ? 'due' : `in ${duration(inMs)}`
}
