import type { Config } from '../config/config.ts'
import type { Clock } from '../domain/clock.ts'
import type { NewDelivery } from '../domain/delivery.ts'
import { abridgedPayload } from '../domain/event.ts'
import { RELAY_SOURCE } from '../domain/relay-events.ts'
import { readPayload } from '../expressions/bounded.ts'
import type { EventFilter, OutboxOperator, StoredEvent } from '../outbox/operator.ts'
import { countEach } from './counts.ts'
import { isEmpty } from './filters.ts'
import { refuseMissing } from './missing.ts'
import type { StepOptions } from './steps.ts'
import { deliveriesTo, todaysRoutes } from './todays-routes.ts'

/** So many events are read, routed and given their deliveries at once, in one transaction. */
const PAGE = 200

export type Replayer = Pick<OutboxOperator, 'readEvents' | 'replay'>

export interface ReplayOptions extends StepOptions {
  /** To this target only, whatever the routes say; undefined: through the routes as they are today. */
  readonly to: string | undefined
  readonly dryRun: boolean
  readonly clock: Clock
  /** Is told what an operator should look at. */
  readonly warn: (text: string) => void
}

/**
 * Which events an operator means; undefined where that would be all there are. The relay's own alerts are of the moment, so
 * they are meant only where they are named.
 */
export function meantEvents(ids: readonly string[], filter: EventFilter): EventFilter | undefined {
  if (ids.length > 0) return { ...filter, eventIds: ids }
  if (isEmpty(filter)) return undefined
  const namesOwn = filter.event?.startsWith('relay.') === true || filter.source === RELAY_SOURCE
  return namesOwn ? filter : { ...filter, exceptSource: RELAY_SOURCE }
}

/** Throws `not_found` for ids that there are not. */
export async function refuseUnknownEvents(operator: Pick<OutboxOperator, 'listEvents'>, ids: readonly string[]) {
  if (ids.length === 0) return
  const there = await operator.listEvents({ eventIds: ids }, ids.length)
  refuseMissing(
    'event',
    ids,
    there.map(({ eventId }) => eventId),
  )
}

export interface Replayed {
  /** How many deliveries were made, or had ended and are sent again. */
  readonly replayed: number
  /** How many events went to which target, or would in a dry run. */
  readonly targets: ReadonlyMap<string, number>
  /** How many events were worked through; all of them unless it was interrupted. */
  readonly worked: number
  /** The id of the last one of these; null where there was none. */
  readonly last: string | null
}

/**
 * Sends the first `count` events of a filter once more, all with their bodies. What is still pending at a target stays as it is.
 */
export async function replayEvents(
  operator: Replayer,
  config: Config,
  filter: EventFilter,
  count: number,
  { to, dryRun, clock, warn, advance = () => {}, signal }: ReplayOptions,
): Promise<Replayed> {
  const route = to === undefined ? routerOf(config, warn) : async () => [to]
  const targets = new Map<string, number>()
  let replayed = 0
  let worked = 0
  let last: string | null = null
  for await (const page of pages(operator, filter, count)) {
    const replays: { eventSeq: number; deliveries: NewDelivery[] }[] = []
    for (const event of page) {
      const names = await route(event)
      countEach(names, targets)
      replays.push({ eventSeq: event.eventSeq, deliveries: deliveriesTo(config, names) })
    }
    if (!dryRun) replayed += await operator.replay(replays, clock.now())
    advance(page.length)
    worked += page.length
    last = page.at(-1)!.eventId
    if (signal?.aborted === true) break
  }
  return { replayed, targets, worked, last }
}

/** In the order of their arrival: those that come in meanwhile are not among them. */
async function* pages(operator: Replayer, filter: EventFilter, count: number): AsyncGenerator<StoredEvent[]> {
  let after = 0
  for (let left = count; left > 0; left -= PAGE) {
    const page = await operator.readEvents(filter, after, Math.min(left, PAGE))
    if (page.length === 0) return
    yield page
    after = page.at(-1)!.eventSeq
  }
}

function routerOf(config: Config, warn: ReplayOptions['warn']): (event: StoredEvent) => Promise<readonly string[]> {
  const route = todaysRoutes(config, warn)
  return async ({ eventId, event, callId, source, body }) => {
    const parsed = await readPayload(body)
    // An operator has accepted a body that holds no event, and said which event it is.
    const payload = 'payload' in parsed ? parsed.payload : abridgedPayload(event, callId, body)
    return route(payload, source, `event ${eventId}`)
  }
}
