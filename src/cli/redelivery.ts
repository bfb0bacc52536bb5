import { Command, Option } from 'commander'
import type { Config } from '../config/config.ts'
import { systemClock } from '../domain/clock.ts'
import { RelayError } from '../domain/errors.ts'
import { countEach } from '../operations/counts.ts'
import { type AskedDeliveries, deliveryFilter } from '../operations/filters.ts'
import { type Forecast, forecastDocument, QueuesBefore } from '../operations/forecasts.ts'
import { withWholeIds } from '../operations/id-prefixes.ts'
import { assertKnownNames, configuredTarget } from '../operations/known-target.ts'
import { refuseMissing } from '../operations/missing.ts'
import { NOT_RECALLED, NOTHING_SENT, type Recalled } from '../operations/recall.ts'
import {
  CANCEL,
  MOVABLE,
  meantDeliveries,
  moveTo,
  RETRY,
  type Redelivery,
  redeliver,
} from '../operations/redelivery.ts'
import type { DeliveryFilter, DeliveryState, FoundDelivery, OutboxOperator } from '../outbox/operator.ts'
import { tellOfBodiless } from './bodiless.ts'
import { configOption } from './config-file.ts'
import { type ConsentOptions, confirm, consentOptions } from './confirm.ts'
import { afterDeliveryOption, deliveryFilterOptions, parseDeliveryId } from './filters.ts'
import { forecastText } from './forecasts.ts'
import { interruptible, tellRest } from './interruption.ts'
import { withOutbox } from './open-outbox.ts'
import { outboxConfig } from './outbox-config.ts'
import { counted, examples, jsonOption, named, note, print, sentAnyway } from './printing.ts'
import { withProgress } from './progress.ts'
import { tellIfNoRelayRuns } from './waiting.ts'

const NOTHING_NAMED = 'name deliveries by their ids or by a filter, such as'

interface BulkOptions extends AskedDeliveries, ConsentOptions {
  readonly config?: string
  readonly json?: boolean
}

interface MoveOptions extends BulkOptions {
  readonly to: string
}

export function retryCommand(): Command {
  return bulkCommand('retry', RETRY.possible, () => RETRY)
    .description('have deliveries tried anew, with the same event id and a fresh budget of attempts')
    .addHelpText(
      'after',
      `\nWithout ids it takes at least one filter, and means dead deliveries where no --state is given.\n${examples(
        'deliveries retry 17 18',
        'deliveries retry --target crm --since 2h --dry-run',
        "deliveries retry --target crm --error 'http 503' --yes",
        'deliveries retry --target crm --state delivered --call 0a1b2c3d-…',
        'deliveries retry --target crm --holding',
      )}`,
    )
}

export function cancelCommand(): Command {
  return bulkCommand('cancel', CANCEL.possible, () => CANCEL)
    .description('give deliveries up; `deliveries retry` can still bring them back')
    .addHelpText(
      'after',
      `\nWithout ids it takes at least one filter. It means pending and dead deliveries; others stay as they are.\n${examples(
        'deliveries cancel 17',
        'deliveries cancel --target old-crm --dry-run',
        'deliveries cancel --state pending --until 7d --yes',
      )}`,
    )
}

/** For a target that is renamed or replaced, whether it is still configured or not. */
export function moveCommand(): Command {
  const to = new Option('--to <target>', 'the target that they go to').makeOptionMandatory()
  return bulkCommand<MoveOptions>('move', MOVABLE, (config, options) => {
    const { ordered } = configuredTarget(config, options.to)
    if (options.target === options.to) throw new RelayError('usage', `--target and --to are both ${options.to}`)
    return moveTo({ target: options.to, ordered })
  })
    .addOption(to)
    .description('move deliveries to another target, such as after a target was renamed')
    .addHelpText(
      'after',
      `\nWithout ids it takes at least one filter. It means pending and dead deliveries. They are due at once, with a fresh budget, the
same event id and the attempts they have had. What the other target has had already stays where it is.\n${examples(
        'deliveries move --target old-crm --to crm --dry-run',
        'deliveries move --target old-crm --to crm --state pending --yes',
        'deliveries move 17 18 --to crm',
      )}`,
    )
}

function bulkCommand<Options extends BulkOptions = BulkOptions>(
  name: string,
  possible: readonly DeliveryState[],
  actionOf: (config: Config, options: Options) => Redelivery,
): Command {
  const command = new Command(name)
    .argument('[ids...]', 'delivery ids', parseDeliveryId)
    .addOption(configOption())
    .addOption(jsonOption())
  const options = [...deliveryFilterOptions(possible), afterDeliveryOption(), ...consentOptions()]
  for (const option of options) command.addOption(option)
  return command.action(async (ids: number[] | undefined, options: Options) => {
    const config = await outboxConfig(options.config)
    const action = actionOf(config, options)
    const isNamed = meantDeliveries(ids ?? [], deliveryFilter(options), action) !== undefined
    if (!isNamed) throw new RelayError('usage', `${NOTHING_NAMED}: deliveries ${name} --target crm`)
    await withOutbox(config.outbox.path, async (operator) => {
      await assertKnownNames(operator, config, options)
      const filter = meantDeliveries(ids ?? [], deliveryFilter(await withWholeIds(operator, options)), action)!
      const found = await operator.findDeliveries(action.sends ? { ...filter, hasBody: true } : filter)
      const bodiless = action.sends ? await operator.findDeliveries({ ...filter, hasBody: false }) : []
      if (ids !== undefined) await tellOfOthers(operator, ids, [...found, ...bodiless])
      tellOfBodiless(bodiless.length, filter.deliveryIds !== undefined)
      await change(operator, config, filter, found, options, action)
    })
  })
}

/** Throws `not_found` for an id that there is not, and tells of those that the filter leaves out. */
async function tellOfOthers(operator: OutboxOperator, ids: readonly number[], found: readonly FoundDelivery[]) {
  const there = await operator.findDeliveries({ deliveryIds: ids })
  refuseMissing(
    'delivery',
    ids,
    there.map(({ deliveryId }) => deliveryId),
  )
  const others = ids.length - found.length
  if (others > 0) note(`${counted(others, 'delivery')} named here cannot be changed so, or is not in the filter`)
}

async function change(
  operator: OutboxOperator,
  config: Config,
  filter: DeliveryFilter,
  found: readonly FoundDelivery[],
  { yes, dryRun, json }: BulkOptions,
  action: Redelivery,
): Promise<void> {
  const { done, recalls, sends, to } = action
  const targets = countEach(found.map(({ target }) => target))
  const matched = found.length
  const what = `${counted(matched, 'delivery')}${named(targets)}`
  const isDone = `${DONE[done]}${to === undefined ? '' : ` to ${to}`}`
  const would = `${what} would be ${isDone}`
  const document = { matched, targets: Object.fromEntries(targets), dryRun: dryRun === true }
  const counts = (changed: number, recalled: Recalled, forecasts: readonly Forecast[] | undefined) => ({
    [done]: changed,
    ...(forecasts && { expected: forecasts.map(forecastDocument) }),
    ...(recalls && recalled),
  })
  const outlook = (forecasts: readonly Forecast[] = []) => forecastText(forecasts, systemClock.now())
  const readQueues = async () => (sends ? QueuesBefore.read(operator, config, systemClock.now()) : undefined)
  if (to !== undefined) await tellOfThoseThere(operator, filter, to)
  if (dryRun === true) {
    const queues = await readQueues()
    const forecasts = await (to === undefined
      ? queues?.aheadOfRetry(targets, filter, systemClock.now())
      : queues?.aheadOfMove(new Map([[to, matched]]), systemClock.now()))
    return print(json, { ...document, ...counts(0, NOTHING_SENT, forecasts) }, `${would}\n${outlook(forecasts)}`)
  }
  if (matched > 0 && !(await confirm(would, yes))) return
  const queues = await readQueues()
  const { changed, worked, recalled } = await interruptible((signal) =>
    withProgress(matched, (advance) => redeliver(operator, filter, found, action, systemClock, { advance, signal })),
  )
  const added = to === undefined ? targets : new Map([[to, changed]])
  const forecasts = await queues?.after(added, systemClock.now())
  if (forecasts !== undefined && changed > 0) await tellIfNoRelayRuns(operator)
  const others = changed === worked ? '' : `; ${worked - changed} had changed meanwhile`
  const some = changed === matched ? what : `${changed} of ${what}`
  print(
    json,
    { ...document, ...counts(changed, recalled, forecasts) },
    matched === 0
      ? `no deliveries match, nothing was ${isDone}\n`
      : `${some} ${isDone}${others}${sentAnyway(recalled)}\n${outlook(forecasts)}`,
  )
  if (changed === 0 || recalled.underWay === null) process.exitCode = 1
  if (recalled.underWay === null) note(NOT_RECALLED)
  if (worked < matched) {
    const after = found[worked - 1]?.deliveryId
    const options = after === undefined ? [] : ['--after', String(after)]
    tellRest(`deliveries ${isDone}`, { worked, matched, options })
  }
}

const DONE: Readonly<Record<Redelivery['done'], string>> = {
  retried: 'queued for retry',
  cancelled: 'cancelled',
  moved: 'moved',
}

/** Reports deliveries that stay because the other target has their events. */
async function tellOfThoseThere(operator: OutboxOperator, filter: DeliveryFilter, to: string): Promise<void> {
  const { length } = await operator.findDeliveries({ ...filter, at: { target: to, has: true } })
  if (length === 0) return
  const where = filter.target === undefined ? '' : `: deliveries cancel --target ${filter.target}`
  note(`${counted(length, 'delivery')} not moved: ${to} has had their events; to give them up${where}`)
}
