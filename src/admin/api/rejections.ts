import type { FastifyInstance } from 'fastify'
import { textOf } from '../../documents/bodies.ts'
import { REJECTION_CAUSES } from '../../documents/rejection-causes.ts'
import { rejectionDocument } from '../../documents/rejections.ts'
import { RelayError } from '../../domain/errors.ts'
import {
  admissionDocument,
  admitRejections,
  meantRejections,
  namedEvent,
  refuseUnknownRejections,
  refuseUnproven,
} from '../../operations/admission.ts'
import { type AskedRejections, rejectionFilter } from '../../operations/filters.ts'
import { forecastDocument, QueuesBefore } from '../../operations/forecasts.ts'
import { assertKnownNames } from '../../operations/known-target.ts'
import { readPage } from '../../operations/pages.ts'
import { type Action, type AskedAs, actionBody, asked, listQuery, named, rejectionKeys } from './asked.ts'
import { type ApiContext, answers, expected, page, refuseTooMany, warnings } from './context.ts'
import { count, flag, id, listOf, object, shape, text, word } from './shapes.ts'

const tags = ['rejections']

/** See `ultravox-relay rejections`. */
export function rejectionsApi(app: FastifyInstance, context: ApiContext): void {
  const { config, operator, clock } = context

  app.get<{ Querystring: AskedAs<AskedRejections> & { limit: number } }>(
    '/api/rejections',
    {
      schema: {
        tags,
        operationId: 'listRejections',
        summary: 'List refused requests, the newest first',
        querystring: listQuery(rejectionKeys),
        response: answers(page('rejections', shape('Rejection')), 400, 404),
      },
    },
    async ({ query: { limit, ...rest } }) => {
      const filter = rejectionFilter(asked<AskedRejections>(rest, clock.now()))
      await assertKnownNames(operator, config, rest)
      const { rows, more } = await readPage(limit, (most) => operator.listRejections(filter, most))
      return { rejections: rows.map(rejectionDocument), more }
    },
  )

  app.get<{ Params: { id: number } }>(
    '/api/rejections/:id',
    {
      schema: {
        tags,
        operationId: 'getRejection',
        summary: 'One refused request: why, its headers, and its body if it was kept',
        params: object({ id }),
        response: answers(shape('StoredRejection'), 400, 404),
      },
    },
    async ({ params: { id } }) => {
      const [rejection] = await operator.readRejections([id])
      if (rejection === undefined) throw new RelayError('not_found', `there is no rejection ${id}`)
      const { body, ...rest } = rejection
      return { ...rejectionDocument(rest), cause: REJECTION_CAUSES[rest.reason], body: textOf(body) }
    },
  )

  admitRoute(app, context)
}

function admitRoute(app: FastifyInstance, { config, operator, clock }: ApiContext): void {
  const result = object({
    matched: count,
    dryRun: flag,
    admitted: count,
    duplicates: count,
    targets: { type: 'object', additionalProperties: count },
    events: listOf(object({ rejectionId: { type: 'integer' }, eventId: text, duplicate: flag })),
    refused: listOf(object({ rejectionId: { type: 'integer' }, problem: text })),
    expected,
    warnings,
  })
  const body = actionBody(id, {
    ...rejectionKeys,
    asEvent: {
      ...object({ event: word, callId: word }),
      required: ['event'],
      additionalProperties: false,
      description: 'Which event a body is recorded as that holds none, such as one that is not JSON.',
    },
  })
  app.post<{ Body: AskedAs<AskedRejections> & Action<number> & { asEvent?: { event: string; callId?: string } } }>(
    '/api/rejections/admit',
    {
      schema: {
        tags,
        operationId: 'admitRejections',
        summary:
          'Take kept requests in as if they had come in time; those with a stale timestamp unless said otherwise',
        body,
        response: answers(result, 400, 404, 409),
      },
    },
    async ({ body: { ids = [], dryRun, asEvent, ...rest } }) => {
      const event = namedEvent(asEvent?.event, asEvent?.callId)
      const filter = named(meantRejections(ids, rejectionFilter(asked<AskedRejections>(rest, clock.now()))))
      await assertKnownNames(operator, config, rest)
      await refuseUnknownRejections(operator, ids)
      await refuseUnproven(operator, ids)
      const found = await operator.findRejections(filter)
      refuseTooMany(found.length, 'rejections')
      const told: string[] = []
      const warn = (warning: string) => void told.push(warning)
      const queues = await QueuesBefore.read(operator, config, clock.now())
      const tally = await admitRejections(operator, config, found, { dryRun, named: event, clock, warn })
      const forecasts = await (dryRun
        ? queues.aheadOfNew(tally.targets, clock.now())
        : queues.after(tally.targets, clock.now()))
      const expected = forecasts.map(forecastDocument)
      return { ...admissionDocument(tally, found.length, dryRun), expected, warnings: told }
    },
  )
}
