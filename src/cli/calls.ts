import { Command } from 'commander'
import type { Config } from '../config/config.ts'
import { callDocument, eventHistoryDocument, worstDelivery } from '../documents/histories.ts'
import { gapDocument } from '../documents/provider.ts'
import { systemClock } from '../domain/clock.ts'
import { RelayError } from '../domain/errors.ts'
import { type AskedEventList, eventListFilter } from '../operations/filters.ts'
import { MOST_FOUND, wholeId } from '../operations/id-prefixes.ts'
import { type UnderWay, underWayNow } from '../operations/under-way.ts'
import type { CallSummary, EventHistory, Gap, OutboxOperator } from '../outbox/operator.ts'
import { configOption } from './config-file.ts'
import { eventFilterOptions, eventStateOption } from './filters.ts'
import { iso } from './instant.ts'
import { runListing } from './listing.ts'
import { withOutbox } from './open-outbox.ts'
import { outboxConfig } from './outbox-config.ts'
import { limitOption, type PageOptions } from './paging.ts'
import { examples, jsonOption, note, print, shownTable } from './printing.ts'
import { deliveriesCell } from './states.ts'
import { oneLine, spare, table, whole } from './table.ts'
import { timeline } from './timeline.ts'
import { tellIfNothingIsSent, tellOfHolds } from './waiting.ts'

/** Of all calls that begin so; a call has four at most. */
const MOST_GAPS = 1_000

interface ShowOptions {
  readonly config?: string
  readonly json?: boolean
}

/** What happened to a call. Works whether the relay runs or not. */
export function callsCommand(): Command {
  return new Command('calls')
    .description('look at calls and what happened to them')
    .addCommand(listCommand())
    .addCommand(showCommand())
}

interface ListOptions extends AskedEventList, PageOptions {
  readonly config?: string
}

function listCommand(): Command {
  const command = new Command('list')
    .description('list calls with what became of their deliveries, the one with the newest event first')
    .addOption(configOption())
    .addOption(jsonOption())
  for (const option of eventFilterOptions()) command.addOption(option)
  return command
    .addOption(eventStateOption())
    .addOption(limitOption())
    .addHelpText(
      'after',
      `\nA call is listed if one of its events is meant; what is counted is the whole call.\n${examples(
        'calls list --since 1h',
        'calls list --state dead --since 1d',
        'calls list --source ultravox --json',
      )}`,
    )
    .action((options: ListOptions) =>
      runListing(options, {
        name: 'calls',
        filter: eventListFilter,
        read: (operator, ...page) => operator.listCalls(...page),
        document: callDocument,
        table: listed,
      }),
    )
}

function listed(calls: readonly CallSummary[]): string {
  return shownTable(
    [
      whole('CALL'),
      whole('LAST'),
      'EVENT',
      'STATE',
      'EVENTS',
      'WORST',
      whole('FIRST'),
      'FIRST EVENT',
      spare('SOURCE'),
      'DELIVERIES',
    ],
    calls.map((each) => [
      each.callId,
      iso(each.lastEventAt),
      each.lastEvent,
      each.state,
      each.events,
      worstDelivery(each.deliveries),
      iso(each.firstEventAt),
      each.firstEvent,
      each.source,
      deliveriesCell(each.deliveries),
    ]),
  )
}

function showCommand(): Command {
  return new Command('show')
    .description("show a call's life: its events, where each went, every attempt, and what is still to come")
    .argument('<id>', 'the call id, or a beginning of it that no other call has')
    .addOption(configOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('calls show 0a1b2c3d-0000-4000-8000-00000000aaaa', 'calls show 0a1b2c3d --json'))
    .action(async (asked: string, options: ShowOptions) => {
      const config = await outboxConfig(options.config)
      const { callId, events, gaps, underWay } = await withOutbox(config.outbox.path, async (operator) => {
        const call = await findCall(operator, asked)
        await tellIfNothingIsSent(operator, call.events)
        const deliveries = call.events.flatMap((each) => each.deliveries)
        return { ...call, underWay: await underWayNow(operator, deliveries, systemClock.now()) }
      })
      const now = systemClock.now()
      if (callId !== asked) note(`${oneLine(asked)} is call ${oneLine(callId)}`)
      const document = {
        callId,
        events: events.map((event) => eventHistoryDocument(event, config, now)),
        gaps: gaps.map(gapDocument),
      }
      print(options.json, document, shown(callId, events, gaps, config, now, underWay))
      tellOfHolds(events, config, now)
    })
}

/**
 * The call of this id, else the only one that begins so, with its events and its gaps. Throws `not_found` or, with their
 * ids, `usage`.
 */
async function findCall(operator: OutboxOperator, asked: string) {
  const gaps = await operator.listGaps(MOST_GAPS, asked)
  const call = async (callId: string) => ({
    callId,
    events: await operator.showCall(callId),
    gaps: gaps.filter((gap) => gap.callId === callId),
  })
  const exact = await call(asked)
  if (exact.events.length > 0 || exact.gaps.length > 0) return exact
  const found = [...(await operator.findCalls(asked, MOST_FOUND)), ...gaps.map(({ callId }) => callId)]
  const callIds = [...new Set(found)].sort()
  const [callId] = callIds
  if (callId === undefined) {
    const hint = 'if its webhooks were refused, it is among: rejections list --kept'
    throw new RelayError('not_found', `nothing is known of a call ${oneLine(asked)}; ${hint}`)
  }
  return call(wholeId('call', asked, callIds))
}

function shown(
  callId: string,
  events: readonly EventHistory[],
  gaps: readonly Gap[],
  config: Config,
  now: number,
  underWay: UnderWay,
): string {
  const states = new Map<string, number>()
  for (const { state } of events.flatMap(({ deliveries }) => deliveries)) {
    states.set(state, (states.get(state) ?? 0) + 1)
  }
  const deliveries = [...states].map(([state, count]) => `${count} ${state}`).join(', ') || 'none'
  const head = `call ${oneLine(callId)}, deliveries: ${deliveries}\n`
  const life = events.length === 0 ? '' : `\n${timeline(events, config, now, underWay)}`
  return `${head}${life}${gaps.length === 0 ? '' : lost(gaps)}`
}

function lost(gaps: readonly Gap[]): string {
  const rows = gaps.map(({ event, foundAt, source }) => [event, iso(foundAt), source])
  return `\nlost: the call was deleted at Ultravox before these arrived\n\n${table(['EVENT', 'FOUND MISSING', 'SOURCE'], rows)}`
}
