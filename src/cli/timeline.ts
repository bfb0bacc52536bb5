import type { Config } from '../config/config.ts'
import type { Attempt } from '../domain/delivery.ts'
import type { UnderWay } from '../operations/under-way.ts'
import type { DeliveryHistory, EventHistory } from '../outbox/operator.ts'
import { duration, iso } from './instant.ts'
import { outcomeStyle, stateStyle } from './states.ts'
import type { Style } from './style.ts'
import { type Cell, cell, table } from './table.ts'
import { stateInWords } from './waiting.ts'

/**
 * A call's life: under each event its deliveries, under those their attempts, and beside what has happened when it did,
 * also from the first event on. `events` in the order of time, at least one.
 */
export function timeline(
  events: readonly EventHistory[],
  config: Config,
  now: number,
  underWay: UnderWay = new Map(),
): string {
  const start = events[0]!.receivedAt
  const row = (at: number | null, depth: number, text: string, style: Style | null): Cell[] => {
    const time = at === null ? [null, null] : [cell(iso(at), 'dim'), since(start, at)]
    return [...time, cell(`${'  '.repeat(depth)}${text}`, style)]
  }
  const rows = events.flatMap((event) => [
    row(event.receivedAt, 0, eventInWords(event), 'bold'),
    ...(event.deliveries.length === 0 ? [row(null, 1, withoutDeliveries(event), 'dim')] : []),
    ...event.deliveries.flatMap((delivery) => [
      row(null, 1, deliveryInWords(delivery, config, now, underWay), stateStyle(delivery)),
      ...delivery.history.map((each) => row(each.startedAt, 2, attemptInWords(each), outcomeStyle(each))),
    ]),
  ])
  // Not cut to the terminal: the end of an error may be what is looked for.
  return table(['TIME', 'SINCE', 'WHAT'], rows)
}

/** `+2m 3s`; with a minus where a clock was set back. */
function since(start: number, at: number): string {
  return `${at < start ? '-' : '+'}${duration(Math.abs(at - start))}`
}

function eventInWords({ event, origin, source, duplicates, eventId }: EventHistory): string {
  const again = duplicates === 0 ? '' : `, ${duplicates} more of the same`
  return `${event}  by ${origin} from ${source}${again}  ${eventId}`
}

function withoutDeliveries({ prunedAt }: EventHistory): string {
  return prunedAt === null
    ? 'no deliveries: no route took it'
    : `pruned at ${iso(prunedAt)}, with all that became of it`
}

function deliveryInWords(delivery: DeliveryHistory, config: Config, now: number, underWay: UnderWay): string {
  return `${delivery.target}: ${stateInWords(delivery, config, now, underWay)} (delivery ${delivery.deliveryId})`
}

function attemptInWords({ attempt, outcome, status, durationMs, error, note }: Attempt): string {
  const answer = status === null ? '' : ` (${status})`
  const told = [error, note].filter((text) => text !== null).join('; ')
  return `attempt ${attempt} ${outcome}${answer}, ${durationMs} ms${told === '' ? '' : `: ${told}`}`
}
