import type { Config } from '../config/config.ts'
import type { Clock } from '../domain/clock.ts'
import type { NewDelivery } from '../domain/delivery.ts'
import { abridgedPayload } from '../domain/event.ts'
import { readPayload } from '../expressions/bounded.ts'
import type { EventFilter, OutboxOperator, StoredEvent } from '../outbox/operator.ts'
import { countEach } from './counts.ts'
import { isEmpty } from './filters.ts'
import { refuseMissing } from './missing.ts'
import type { Advance } from './steps.ts'
import { deliveriesTo, todaysRoutes } from './todays-routes.ts'

/** So many events are read, routed and given their deliveries at once, in one transaction. */
const PAGE = 200

/** The relay's events about itself: news of the day, not to be told again with everything else. */
const RELAY_EVENTS = 'relay.*'

export type Replayer = Pick<OutboxOperator, 'readEvents' | 'replay'>

export interface ReplayOptions {
  /** To this target only, whatever the routes say; undefined: through the routes as they are today. */
  readonly to: string | undefined
  readonly dryRun: boolean
  readonly clock: Clock
  /** Is told what an operator should look at. */
  readonly warn: (text: string) => void
  readonly advance?: Advance
}

/** Which events an operator means; undefined where that would be all there are. */
export function meantEvents(ids: readonly string[], filter: EventFilter): EventFilter | undefined {
  if (ids.length > 0) return { ...filter, eventIds: ids }
  if (isEmpty(filter)) return undefined
  return filter.event?.startsWith('relay.') === true ? filter : { ...filter, exceptEvent: RELAY_EVENTS }
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

/**
 * Sends the first `count` events of a filter once more, all with their bodies. Returns how many deliveries were made or
 * tried anew, and how many events went to which target, or would in a dry run.
 */
export async function replayEvents(
  operator: Replayer,
  config: Config,
  filter: EventFilter,
  count: number,
  { to, dryRun, clock, warn, advance = () => {} }: ReplayOptions,
): Promise<{ replayed: number; targets: ReadonlyMap<string, number> }> {
  const route = to === undefined ? routerOf(config, warn) : async () => [to]
  const targets = new Map<string, number>()
  let replayed = 0
  for await (const page of pages(operator, filter, count)) {
    const replays: { eventSeq: number; deliveries: NewDelivery[] }[] = []
    for (const event of page) {
      const names = await route(event)
      countEach(names, targets)
      replays.push({ eventSeq: event.eventSeq, deliveries: deliveriesTo(config, names) })
    }
    if (!dryRun) replayed += await operator.replay(replays, clock.now())
    advance(page.length)
  }
  return { replayed, targets }
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
