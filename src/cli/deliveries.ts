import { Command } from 'commander'
import type { Config } from '../config/config.ts'
import { deliveryDocument, deliveryHistoryDocument } from '../documents/histories.ts'
import { systemClock } from '../domain/clock.ts'
import { RelayError } from '../domain/errors.ts'
import { type AskedDeliveries, DELIVERY_STATES, deliveryFilter } from '../operations/filters.ts'
import { underWayNow } from '../operations/under-way.ts'
import type { DeliveryHistory, DeliverySummary } from '../outbox/operator.ts'
import { configOption } from './config-file.ts'
import { factLines } from './facts.ts'
import { deliveryFilterOptions, parseDeliveryId } from './filters.ts'
import { duration, iso, isoOrNull } from './instant.ts'
import { runListing } from './listing.ts'
import { withOutbox } from './open-outbox.ts'
import { outboxConfig } from './outbox-config.ts'
import { limitOption, type PageOptions } from './paging.ts'
import { examples, jsonOption, print, shownTable } from './printing.ts'
import { cancelCommand, moveCommand, retryCommand } from './redelivery.ts'
import { despiteCancelling, noteColumn, outcomeCell, stateCell } from './states.ts'
import { oneLine, whole } from './table.ts'
import { waitLines } from './waiting.ts'

interface ShowOptions {
  readonly config?: string
  readonly json?: boolean
}

interface ListOptions extends AskedDeliveries, PageOptions {
  readonly config?: string
}

/** What became of events at their targets, and another try for it. Works whether the relay runs or not. */
export function deliveriesCommand(): Command {
  return new Command('deliveries')
    .description('list, retry, cancel and move deliveries')
    .addCommand(listCommand())
    .addCommand(showCommand())
    .addCommand(retryCommand())
    .addCommand(cancelCommand())
    .addCommand(moveCommand())
}

function listCommand(): Command {
  const command = new Command('list')
    .description('list deliveries, the newest first')
    .addOption(configOption())
    .addOption(jsonOption())
  for (const option of deliveryFilterOptions(DELIVERY_STATES)) command.addOption(option)
  return command
    .addOption(limitOption())
    .addHelpText(
      'after',
      examples(
        'deliveries list --state dead --target crm --since 2h',
        'deliveries list --call 0a1b2c3d-… --json',
        "deliveries list --event 'call.*' --error ECONNREFUSED",
      ),
    )
    .action((options: ListOptions) =>
      runListing(options, {
        name: 'deliveries',
        filter: deliveryFilter,
        read: (operator, ...page) => operator.listDeliveries(...page),
        document: deliveryDocument,
        table: listed,
      }),
    )
}

function showCommand(): Command {
  return new Command('show')
    .description('show one delivery: what it waits for, all of its attempts and the last answer')
    .argument('<id>', 'its id', (text) => parseDeliveryId(text)[0])
    .addOption(configOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('deliveries show 17', 'deliveries show 17 --json'))
    .action(async (id: number, options: ShowOptions) => {
      const config = await outboxConfig(options.config)
      const [delivery, underWay] = await withOutbox(config.outbox.path, async (operator) => {
        const found = await operator.showDelivery(id)
        return [found, await underWayNow(operator, found === null ? [] : [found], systemClock.now())]
      })
      if (delivery === null) throw new RelayError('not_found', `there is no delivery ${id}`)
      const now = systemClock.now()
      print(
        options.json,
        deliveryHistoryDocument(delivery, config, now),
        shown(delivery, config, now, underWay.get(id)),
      )
    })
}

function listed(deliveries: readonly DeliverySummary[]): string {
  return shownTable(
    [whole('ID'), 'STATE', 'TARGET', 'EVENT', whole('UPDATED'), whole('DUE'), 'TRIED', whole('CALL'), 'LAST ERROR'],
    deliveries.map((each) => [
      each.deliveryId,
      stateCell(each),
      each.target,
      each.event,
      iso(each.updatedAt),
      each.waiting ? 'waits' : isoOrNull(each.dueAt),
      each.attempts,
      each.callId,
      each.lastError ?? '',
    ]),
  )
}

function shown(delivery: DeliveryHistory, config: Config, now: number, sendingSince: number | undefined): string {
  const { history } = delivery
  const state = sendingSince === undefined ? delivery.state : `being sent since ${duration(now - sendingSince)}`
  const facts = factLines([
    ['delivery', `${delivery.deliveryId} to ${delivery.target}, ${state}${despiteCancelling(delivery, history)}`],
    ['event', `${delivery.event}  ${delivery.eventId}`],
    ['call', delivery.callId],
    ['updated', iso(delivery.updatedAt)],
    ['due', isoOrNull(delivery.dueAt)],
    ['error', delivery.lastError],
    ...waitLines(delivery, config, now).map((line, index) => [index === 0 ? 'waits' : '', line] as const),
  ])
  if (history.length === 0) return `${facts}\nno attempts yet\n`
  const attempts = shownTable(
    ['ATTEMPT', whole('STARTED'), 'MS', 'OUTCOME', 'STATUS', 'ERROR', ...noteColumn(history, 'NOTE')],
    history.map((each) => [
      each.attempt,
      iso(each.startedAt),
      each.durationMs,
      outcomeCell(each),
      each.status,
      each.error ?? '',
      ...noteColumn(history, each.note),
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
  return `${facts}\n${attempts}${quoted}`
}
