import { Command } from 'commander'
import type { Config } from '../config/config.ts'
import { systemClock } from '../domain/clock.ts'
import { RelayError } from '../domain/errors.ts'
import { countEach } from '../operations/counts.ts'
import { type AskedDeliveries, deliveryFilter } from '../operations/filters.ts'
import { type Forecast, forecastDocument, QueuesBefore } from '../operations/forecasts.ts'
import { refuseMissing } from '../operations/missing.ts'
import { NOT_RECALLED, NOTHING_SENT, type Recalled } from '../operations/recall.ts'
import { CANCEL, meantDeliveries, RETRY, type Redelivery, redeliver } from '../operations/redelivery.ts'
import type { DeliveryFilter, FoundDelivery, OutboxOperator } from '../outbox/operator.ts'
import { tellOfBodiless } from './bodiless.ts'
import { configFile, configOption, loadWithoutSecrets } from './config-file.ts'
import { type ConsentOptions, confirm, consentOptions } from './confirm.ts'
import { deliveryFilterOptions, parseDeliveryId } from './filters.ts'
import { forecastText } from './forecasts.ts'
import { tellOfUnknown } from './known-target.ts'
import { withOutbox } from './open-outbox.ts'
import { counted, examples, jsonOption, named, note, print, sentAnyway } from './printing.ts'
import { withProgress } from './progress.ts'
import { tellIfNoRelayRuns } from './waiting.ts'

const NOTHING_NAMED = 'name deliveries by their ids or by a filter, such as'

interface BulkOptions extends AskedDeliveries, ConsentOptions {
  readonly config?: string
  readonly json?: boolean
}

export function retryCommand(): Command {
  return bulkCommand('retry', RETRY)
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
  return bulkCommand('cancel', CANCEL)
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

function bulkCommand(name: string, action: Redelivery): Command {
  const command = new Command(name)
    .argument('[ids...]', 'delivery ids', parseDeliveryId)
    .addOption(configOption())
    .addOption(jsonOption())
  const options = [...deliveryFilterOptions(action.possible), ...consentOptions()]
  for (const option of options) command.addOption(option)
  return command.action(async (ids: number[] | undefined, options: BulkOptions) => {
    const { config } = loadWithoutSecrets(configFile(options.config))
    const filter = meantDeliveries(ids ?? [], deliveryFilter(options), action)
    if (filter === undefined) throw new RelayError('usage', `${NOTHING_NAMED}: deliveries ${name} --target crm`)
    await withOutbox(config.outbox.path, async (operator) => {
      const found = await operator.findDeliveries(action.sends ? { ...filter, hasBody: true } : filter)
      const bodiless = action.sends ? await operator.findDeliveries({ ...filter, hasBody: false }) : []
      if (ids !== undefined) await tellOfOthers(operator, ids, [...found, ...bodiless])
      tellOfBodiless(bodiless.length, filter.deliveryIds !== undefined)
      if (found.length === 0) tellOfUnknown('target', filter.target, config.targets)
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
  const { done, recalls, sends } = action
  const targets = countEach(found.map(({ target }) => target))
  const what = `${counted(found.length, 'delivery')}${named(targets)}`
  const would = `${what} would be ${done}`
  const document = { matched: found.length, targets: Object.fromEntries(targets), dryRun: dryRun === true }
  const counts = (changed: number, recalled: Recalled, forecasts: readonly Forecast[] | undefined) => ({
    [done]: changed,
    ...(forecasts && { expected: forecasts.map(forecastDocument) }),
    ...(recalls && recalled),
  })
  const outlook = (forecasts: readonly Forecast[] = []) => forecastText(forecasts, systemClock.now())
  const readQueues = async () => (sends ? QueuesBefore.read(operator, config, systemClock.now()) : undefined)
  if (dryRun === true) {
    const forecasts = await (await readQueues())?.aheadOfRetry(targets, filter, systemClock.now())
    return print(json, { ...document, ...counts(0, NOTHING_SENT, forecasts) }, `${would}\n${outlook(forecasts)}`)
  }
  if (found.length > 0 && !(await confirm(would, yes))) return
  const queues = await readQueues()
  const { changed, recalled } = await withProgress(found.length, (advance) =>
    redeliver(operator, filter, found, action, systemClock, advance),
  )
  const text = changed === found.length ? what : `${changed} of ${what}, for the others have changed meanwhile,`
  const forecasts = await queues?.after(targets, systemClock.now())
  if (forecasts !== undefined && changed > 0) await tellIfNoRelayRuns(operator)
  print(
    json,
    { ...document, ...counts(changed, recalled, forecasts) },
    `${text} ${done}${sentAnyway(recalled)}\n${outlook(forecasts)}`,
  )
  if (recalled.underWay !== null) return
  note(NOT_RECALLED)
  process.exitCode = 1
}
