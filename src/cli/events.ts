import { Command, Option } from 'commander'
import { systemClock } from '../domain/clock.ts'
import type { EventSummary } from '../outbox/operator.ts'
import { configFile, configOption, loadTold } from './config-file.ts'
import { type EventFilterOptions, eventFilter, eventFilterOptions, parseLimit } from './filters.ts'
import { ago, iso } from './instant.ts'
import { withOutbox } from './open-outbox.ts'
import { examples, jsonOption, note, print, shownTable } from './printing.ts'
import { replayCommand } from './replay.ts'

interface ListOptions extends EventFilterOptions {
  readonly config?: string
  readonly json?: boolean
  readonly limit: number
}

/** What has come in, and sending it once more. Works whether the relay runs or not. */
export function eventsCommand(): Command {
  return new Command('events')
    .description('look at events, and send them once more')
    .addCommand(listCommand())
    .addCommand(replayCommand())
}

function listCommand(): Command {
  const command = new Command('list')
    .description('list events, the newest first')
    .addOption(configOption())
    .addOption(jsonOption())
  for (const option of eventFilterOptions()) command.addOption(option)
  return command
    .addOption(new Option('--limit <count>', 'so many at most').argParser(parseLimit).default(50))
    .addHelpText('after', examples('events list --since 1h', "events list --event 'call.*' --call 0a1b2c3d-… --json"))
    .action(async (options: ListOptions) => {
      const { config } = loadTold(configFile(options.config))
      const found = await withOutbox(config.outbox.path, (operator) =>
        operator.listEvents(eventFilter(options), options.limit + 1),
      )
      const events = found.slice(0, options.limit)
      const more = found.length > events.length
      print(options.json, { events: events.map(documentOf), more }, listed(events, systemClock.now()))
      if (events.length === 0) note('no events')
      if (more) note(`these are the newest ${options.limit}; there are more (--limit)`)
    })
}

/** An event for scripts: instants in ISO. */
function documentOf(event: EventSummary): object {
  return { ...event, receivedAt: iso(event.receivedAt) }
}

function listed(events: readonly EventSummary[], now: number): string {
  if (events.length === 0) return ''
  return shownTable(
    ['RECEIVED', 'EVENT', 'CALL', 'SOURCE', 'DUPLICATES', 'ID'],
    events.map((each) => [
      ago(each.receivedAt, now),
      each.event,
      each.callId,
      each.source,
      each.duplicates,
      each.eventId,
    ]),
  )
}
