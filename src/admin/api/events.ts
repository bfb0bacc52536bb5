import type { FastifyInstance } from 'fastify'
import { textOf } from '../../documents/bodies.ts'
import { callDocument, eventDocument, eventHistoryDocument } from '../../documents/histories.ts'
import { gapDocument } from '../../documents/provider.ts'
import { RelayError } from '../../domain/errors.ts'
import { type AskedEventList, type AskedReplay, eventListFilter, replayFilter } from '../../operations/filters.ts'
import { forecastDocument, QueuesBefore } from '../../operations/forecasts.ts'
import { wholeCallId, wholeEventIds, withWholeIds } from '../../operations/id-prefixes.ts'
import { assertKnownNames, configuredTarget } from '../../operations/known-target.ts'
import { readPage } from '../../operations/pages.ts'
import { meantEvents, refuseUnknownEvents, replayEvents } from '../../operations/replay.ts'
import { type Action, type AskedAs, actionBody, asked, eventKeys, listQuery, named } from './asked.ts'
import { type ApiContext, answers, expected, page, refuseTooMany, warnings } from './context.ts'
import { count, eventStates, flag, object, shape, text, word } from './shapes.ts'

const tags = ['events']
/** Of all calls whose ids begin like one; a call has four at most. */
const MOST_GAPS = 1_000

/** See `ultravox-relay events` and `calls`. */
export function eventsApi(app: FastifyInstance, context: ApiContext): void {
  const { config, operator, clock } = context

  app.get<{ Querystring: AskedAs<AskedEventList> & { limit: number } }>(
    '/api/events',
    {
      schema: {
        tags,
        operationId: 'listEvents',
        summary: 'List events, the newest first',
        querystring: listQuery({ ...eventKeys, state: eventStates }),
        response: answers(page('events', shape('Event')), 400, 404),
      },
    },
    async ({ query: { limit, ...rest } }) => {
      await assertKnownNames(operator, config, rest)
      const filter = eventListFilter(await withWholeIds(operator, asked<AskedEventList>(rest, clock.now())))
      const { rows, more } = await readPage(limit, (most) => operator.listEvents(filter, most))
      return { events: rows.map(eventDocument), more }
    },
  )

  app.get<{ Params: { id: string } }>(
    '/api/events/:id',
    {
      schema: {
        tags,
        operationId: 'getEvent',
        summary: 'One event: its deliveries, every attempt, and its body',
        params: object({ id: text }),
        response: answers(shape('EventHistory'), 400, 404),
      },
    },
    async ({ params: { id } }) => {
      const [eventId] = await wholeEventIds(operator, [id])
      const found = await operator.showEvent(eventId!)
      if (found === null) throw new RelayError('not_found', 'there is no such event')
      const { body, ...event } = found
      return { ...eventHistoryDocument(event, config, clock.now()), body: textOf(body) }
    },
  )

  app.get<{ Querystring: AskedAs<AskedEventList> & { limit: number } }>(
    '/api/calls',
    {
      schema: {
        tags,
        operationId: 'listCalls',
        summary: 'List calls that have an event which is meant, the one with the newest event first',
        querystring: listQuery({ ...eventKeys, state: eventStates }),
        response: answers(page('calls', shape('CallSummary')), 400, 404),
      },
    },
    async ({ query: { limit, ...rest } }) => {
      await assertKnownNames(operator, config, rest)
      const filter = eventListFilter(await withWholeIds(operator, asked<AskedEventList>(rest, clock.now())))
      const { rows, more } = await readPage(limit, (most) => operator.listCalls(filter, most))
      return { calls: rows.map(callDocument), more }
    },
  )

  app.get<{ Params: { id: string } }>(
    '/api/calls/:id',
    {
      schema: {
        tags,
        operationId: 'getCall',
        summary: "A call's events with all that became of them, and those that can never be had",
        params: object({ id: text }),
        response: answers(shape('Call'), 400, 404),
      },
    },
    async ({ params: { id: asked } }) => {
      const id = await wholeCallId(operator, asked)
      const events = await operator.showCall(id)
      const gaps = (await operator.listGaps(MOST_GAPS, id)).filter(({ callId }) => callId === id)
      if (events.length === 0 && gaps.length === 0) throw new RelayError('not_found', 'nothing is known of such a call')
      const now = clock.now()
      const documents = events.map((event) => eventHistoryDocument(event, config, now))
      return { callId: id, events: documents, gaps: gaps.map(gapDocument) }
    },
  )

  app.get<{ Querystring: { limit: number } }>(
    '/api/gaps',
    {
      schema: {
        tags,
        operationId: 'listGaps',
        summary: 'List events that can never be had, the newest found first',
        querystring: listQuery({}),
        response: answers(page('gaps', shape('Gap')), 400),
      },
    },
    async ({ query: { limit } }) => {
      const { rows, more } = await readPage(limit, (most) => operator.listGaps(most))
      return { gaps: rows.map(gapDocument), more }
    },
  )

  replayRoute(app, context)
}

function replayRoute(app: FastifyInstance, { config, operator, clock }: ApiContext): void {
  const failedAt = { ...word, description: 'Events whose delivery to this target is dead.' }
  const orFailing = { ...flag, description: 'With failedAt: or pending there after a failed attempt.' }
  const after = { ...word, description: 'Events recorded after the one with this id.' }
  const to = { ...word, description: 'To this target only, whatever the routes say.' }
  const result = object({
    matched: count,
    targets: { type: 'object', additionalProperties: count },
    dryRun: flag,
    replayed: count,
    expected,
    warnings,
  })
  app.post<{ Body: AskedAs<AskedReplay> & Action<string> & { to?: string } }>(
    '/api/events/replay',
    {
      schema: {
        tags,
        operationId: 'replayEvents',
        summary: 'Send events once more',
        body: actionBody(word, { ...eventKeys, to, failedAt, orFailing, after }),
        response: answers(result, 400, 404),
      },
    },
    async ({ body: { ids: written = [], dryRun, to, ...rest } }) => {
      const whole = await withWholeIds(operator, asked<AskedReplay>(rest, clock.now()))
      const ids = await wholeEventIds(operator, written)
      const filter = named(meantEvents(ids, replayFilter(whole)))
      if (to !== undefined) configuredTarget(config, to)
      await assertKnownNames(operator, config, rest)
      await refuseUnknownEvents(operator, ids)
      const withBody = { ...filter, hasBody: true }
      const matched = await operator.countEvents(withBody)
      const bodiless = await operator.countEvents({ ...filter, hasBody: false })
      refuseTooMany(matched, 'events')
      const gone = `${bodiless} of them cannot be sent again: the body is gone`
      if (bodiless > 0 && ids.length > 0) throw new RelayError('not_found', gone)
      const told: string[] = bodiless > 0 ? [gone] : []
      const warn = (warning: string) => void told.push(warning)
      const queues = await QueuesBefore.read(operator, config, clock.now())
      const { targets, replayed } = await replayEvents(operator, config, withBody, matched, { to, dryRun, clock, warn })
      const forecasts = await (dryRun
        ? queues.aheadOfReplay(targets, withBody, clock.now())
        : queues.after(targets, clock.now()))
      const expected = forecasts.map(forecastDocument)
      return { matched, targets: Object.fromEntries(targets), dryRun, replayed, expected, warnings: told }
    },
  )
}
