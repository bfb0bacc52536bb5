import { Command } from 'commander'
import { eventDocument } from '../documents/histories.ts'
import { type AskedEventList, eventListFilter } from '../operations/filters.ts'
import type { ListedEvent } from '../outbox/operator.ts'
import { configOption } from './config-file.ts'
import { showCommand } from './events-show.ts'
import { eventFilterOptions, eventStateOption } from './filters.ts'
import { gapsCommand } from './gaps.ts'
import { iso } from './instant.ts'
import { runListing } from './listing.ts'
import { limitOption, type PageOptions } from './paging.ts'
import { examples, jsonOption, shownTable } from './printing.ts'
import { replayCommand } from './replay.ts'
import { deliveriesCell } from './states.ts'
import { spare, whole } from './table.ts'

interface ListOptions extends AskedEventList, PageOptions {
  readonly config?: string
}

/** What has come in, and sending it once more. Works whether the relay runs or not. */
export function eventsCommand(): Command {
  return new Command('events')
    .description('look at events, and send them once more')
    .addCommand(listCommand())
    .addCommand(showCommand())
    .addCommand(replayCommand())
    .addCommand(gapsCommand())
}

function listCommand(): Command {
  const command = new Command('list')
    .description('list events, the newest first')
    .addOption(configOption())
    .addOption(jsonOption())
  for (const option of eventFilterOptions()) command.addOption(option)
  return command
    .addOption(eventStateOption())
    .addOption(limitOption())
    .addHelpText(
      'after',
      examples(
        'events list --since 1h',
        "events list --event 'call.*' --call 0a1b2c3d-… --json",
        'events list --state dead,none --since 1d',
      ),
    )
    .action((options: ListOptions) =>
      runListing(options, {
        name: 'events',
        filter: eventListFilter,
        read: (operator, ...page) => operator.listEvents(...page),
        document: eventDocument,
        table: listed,
      }),
    )
}

function listed(events: readonly ListedEvent[]): string {
  return shownTable(
    [whole('ID'), whole('RECEIVED'), 'EVENT', spare('SOURCE'), spare('DUPLICATES'), whole('CALL'), 'DELIVERIES'],
    events.map((each) => [
      each.eventId,
      iso(each.receivedAt),
      each.event,
      each.source,
      each.duplicates,
      each.callId,
      deliveriesCell(each.deliveries),
    ]),
  )
}
