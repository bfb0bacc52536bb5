import { Command } from 'commander'
import { systemClock } from '../domain/clock.ts'
import { RelayError } from '../domain/errors.ts'
import type { DeliveryFilter, DeliveryState, FoundDelivery, OutboxOperator } from '../outbox/operator.ts'
import { tellOfBodiless } from './bodiless.ts'
import { configFile, configOption, loadWithoutSecrets } from './config-file.ts'
import { type ConsentOptions, confirm, consentOptions } from './confirm.ts'
import {
  DELIVERY_STATES,
  type DeliveryFilterOptions,
  deliveryFilter,
  deliveryFilterOptions,
  isEmpty,
  parseDeliveryId,
} from './filters.ts'
import { tellOfUnknown } from './known-target.ts'
import { refuseMissing } from './missing.ts'
import { withOutbox } from './open-outbox.ts'
import { countEach, counted, examples, jsonOption, named, note, print } from './printing.ts'
import { inSteps } from './progress.ts'

/** So many deliveries a transaction: the daemon's own writes wait for no longer than that takes. */
const STEP = 500

interface BulkOptions extends DeliveryFilterOptions, ConsentOptions {
  readonly config?: string
  readonly json?: boolean
}

/** What is done to many deliveries. */
interface Action {
  readonly done: 'retried' | 'cancelled'
  /** The states it is about where neither ids nor states are given. */
  readonly usual: readonly DeliveryState[]
  /** The states it can be about at all. */
  readonly possible: readonly DeliveryState[]
  /** Whether it takes the event's body. */
  readonly sends: boolean
  readonly change: (operator: OutboxOperator, filter: DeliveryFilter) => Promise<number>
}

export function retryCommand(): Command {
  return bulkCommand('retry', {
    done: 'retried',
    usual: ['dead'],
    possible: DELIVERY_STATES,
    sends: true,
    change: (operator, filter) => operator.retryDeliveries(filter, systemClock.now()),
  })
    .description('have deliveries tried anew, with the same event id and a fresh budget of attempts')
    .addHelpText(
      'after',
      `\nWithout ids it takes at least one filter, and means dead deliveries where no --state is given.\n${examples(
        'deliveries retry 17 18',
        'deliveries retry --target crm --since 2h --dry-run',
        "deliveries retry --target crm --error 'http 503' --yes",
        'deliveries retry --target crm --state delivered --call 0a1b2c3d-…',
      )}`,
    )
}

export function cancelCommand(): Command {
  return bulkCommand('cancel', {
    done: 'cancelled',
    usual: ['pending', 'dead'],
    possible: ['pending', 'dead'],
    sends: false,
    change: (operator, filter) => operator.cancelDeliveries(filter, systemClock.now()),
  })
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

function bulkCommand(name: string, action: Action): Command {
  const command = new Command(name)
    .argument('[ids...]', 'delivery ids', parseDeliveryId)
    .addOption(configOption())
    .addOption(jsonOption())
  const options = [...deliveryFilterOptions(action.possible), ...consentOptions()]
  for (const option of options) command.addOption(option)
  return command.action(async (ids: number[] | undefined, options: BulkOptions) => {
    const { config } = loadWithoutSecrets(configFile(options.config))
    const filter = meant(ids ?? [], deliveryFilter(options), name, action)
    await withOutbox(config.outbox.path, async (operator) => {
      const found = await operator.findDeliveries(action.sends ? { ...filter, hasBody: true } : filter)
      const bodiless = action.sends ? await operator.findDeliveries({ ...filter, hasBody: false }) : []
      if (ids !== undefined) await tellOfOthers(operator, ids, [...found, ...bodiless])
      tellOfBodiless(bodiless.length, filter.deliveryIds !== undefined)
      if (found.length === 0) tellOfUnknown('target', filter.target, config.targets)
      await change(operator, filter, found, options, action)
    })
  })
}

/** Which deliveries an operator means. Throws `usage` where that would be all there are. */
function meant(ids: readonly number[], filter: DeliveryFilter, name: string, { usual, possible }: Action) {
  if (ids.length > 0) return { states: possible, ...filter, deliveryIds: ids }
  if (!isEmpty(filter)) return { states: usual, ...filter }
  throw new RelayError('usage', `name deliveries by their ids or by a filter, such as: deliveries ${name} --target crm`)
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
  filter: DeliveryFilter,
  found: readonly FoundDelivery[],
  { yes, dryRun, json }: BulkOptions,
  { done, change }: Action,
): Promise<void> {
  const targets = countEach(found.map(({ target }) => target))
  const what = `${counted(found.length, 'delivery')}${named(targets)}`
  const would = `${what} would be ${done}`
  const document = { matched: found.length, targets: Object.fromEntries(targets), dryRun: dryRun === true }
  if (dryRun === true) return print(json, { ...document, [done]: 0 }, `${would}\n`)
  if (found.length > 0 && !(await confirm(would, yes))) return
  let changed = 0
  const ids = found.map(({ deliveryId }) => deliveryId)
  await inSteps(ids, STEP, async (step) => {
    // With the whole filter again: what the daemon has delivered since it was counted is left alone.
    changed += await change(operator, { ...filter, deliveryIds: step })
  })
  const text = changed === found.length ? what : `${changed} of ${what}, for the others have changed meanwhile,`
  print(json, { ...document, [done]: changed }, `${text} ${done}\n`)
}
