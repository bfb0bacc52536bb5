import { Command, Option } from 'commander'
import { systemClock } from '../domain/clock.ts'
import { RelayError } from '../domain/errors.ts'
import type { DeliverySummary, OutboxOperator } from '../outbox/operator.ts'
import { configFile, configOption, loadTold } from './config-file.ts'
import {
  DELIVERY_STATES,
  type DeliveryFilterOptions,
  deliveryFilter,
  deliveryFilterOptions,
  parseDeliveryId,
  parseLimit,
} from './filters.ts'
import { ago, iso, isoOrNull } from './instant.ts'
import { withOutbox } from './open-outbox.ts'
import { examples, jsonOption, note, print, shownTable } from './printing.ts'
import { cancelCommand, retryCommand } from './redelivery.ts'
import { type Cell, cell, oneLine } from './table.ts'

interface ShowOptions {
  readonly config?: string
  readonly json?: boolean
}

interface ListOptions extends ShowOptions, DeliveryFilterOptions {
  readonly limit: number
}

type Shown = NonNullable<Awaited<ReturnType<OutboxOperator['showDelivery']>>>

/** What became of events at their targets, and another try for it. Works whether the relay runs or not. */
export function deliveriesCommand(): Command {
  return new Command('deliveries')
    .description('look at deliveries, have them tried anew, or give them up')
    .addCommand(listCommand())
    .addCommand(showCommand())
    .addCommand(retryCommand())
    .addCommand(cancelCommand())
}

function listCommand(): Command {
  const command = new Command('list')
    .description('list deliveries, the newest first')
    .addOption(configOption())
    .addOption(jsonOption())
  for (const option of deliveryFilterOptions(DELIVERY_STATES)) command.addOption(option)
  return command
    .addOption(new Option('--limit <count>', 'so many at most').argParser(parseLimit).default(50))
    .addHelpText(
      'after',
      examples(
        'deliveries list --state dead --target crm --since 2h',
        'deliveries list --call 0a1b2c3d-… --json',
        "deliveries list --event 'call.*' --error ECONNREFUSED",
      ),
    )
    .action(async (options: ListOptions) => {
      const { config } = loadTold(configFile(options.config))
      const found = await withOutbox(config.outbox.path, (operator) =>
        operator.listDeliveries(deliveryFilter(options), options.limit + 1),
      )
      const deliveries = found.slice(0, options.limit)
      const more = found.length > deliveries.length
      print(options.json, { deliveries: deliveries.map(documentOf), more }, listed(deliveries, systemClock.now()))
      if (deliveries.length === 0) note('no deliveries')
      if (more) note(`these are the newest ${options.limit}; there are more (--limit)`)
    })
}

function showCommand(): Command {
  return new Command('show')
    .description('show one delivery with all of its attempts and the last answer')
    .argument('<id>', 'its id', (text) => parseDeliveryId(text)[0])
    .addOption(configOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('deliveries show 17', 'deliveries show 17 --json'))
    .action(async (id: number, options: ShowOptions) => {
      const { config } = loadTold(configFile(options.config))
      const delivery = await withOutbox(config.outbox.path, (operator) => operator.showDelivery(id))
      if (delivery === null) throw new RelayError('not_found', `there is no delivery ${id}`)
      const { history, ...summary } = delivery
      const attempts = history.map((attempt) => ({ ...attempt, startedAt: iso(attempt.startedAt) }))
      print(options.json, { ...documentOf(summary), history: attempts }, shown(delivery))
    })
}

/** A delivery for scripts: instants in ISO. */
function documentOf(delivery: DeliverySummary): object {
  return { ...delivery, dueAt: isoOrNull(delivery.dueAt), updatedAt: iso(delivery.updatedAt) }
}

function listed(deliveries: readonly DeliverySummary[], now: number): string {
  if (deliveries.length === 0) return ''
  return shownTable(
    ['ID', 'STATE', 'TARGET', 'EVENT', 'CALL', 'UPDATED', 'DUE', 'TRIED', 'LAST ERROR'],
    deliveries.map((each) => [
      each.deliveryId,
      stateCell(each),
      each.target,
      each.event,
      each.callId,
      ago(each.updatedAt, now),
      ago(each.dueAt, now),
      each.attempts,
      each.lastError ?? '',
    ]),
  )
}

function stateCell({ state, lastError }: DeliverySummary): Cell {
  const styles = {
    delivered: 'green',
    dead: 'red',
    cancelled: 'dim',
    pending: lastError === null ? null : 'yellow',
  } as const
  return cell(state, styles[state])
}

function shown(delivery: Shown): string {
  const { history } = delivery
  const facts: [string, string | null][] = [
    ['delivery', `${delivery.deliveryId} to ${delivery.target}, ${delivery.state}`],
    ['event', `${delivery.event}  ${delivery.eventId}`],
    ['call', delivery.callId],
    ['updated', iso(delivery.updatedAt)],
    ['due', isoOrNull(delivery.dueAt)],
    ['error', delivery.lastError],
  ]
  const lines = facts.flatMap(([name, value]) => (value === null ? [] : [`${name.padEnd(9)} ${oneLine(value)}\n`]))
  if (history.length === 0) return `${lines.join('')}\nno attempts yet\n`
  const attempts = shownTable(
    ['ATTEMPT', 'STARTED', 'MS', 'OUTCOME', 'STATUS', 'ERROR'],
    history.map((each) => [
      each.attempt,
      iso(each.startedAt),
      each.durationMs,
      each.outcome,
      each.status,
      each.error ?? '',
    ]),
  )
  const answer = history.at(-1)!.response
  const quoted =
    answer === null
      ? ''
      : `\nlast answer:\n${answer
          .split('\n')
          .map((line) => `  ${oneLine(line)}\n`)
          .join('')}`
  return `${lines.join('')}\n${attempts}${quoted}`
}
