import type { FastifyInstance } from 'fastify'
import { entryDocument } from '../../documents/journal.ts'
import { statusDocument, statusOf } from '../../documents/status.ts'
import { readMachineClock } from '../../machine-clock.ts'
import { reloadDaemon } from '../../operations/reload.ts'
import { type ApiContext, answers } from './context.ts'
import { count, instant, listOf, object, shape, text } from './shapes.ts'

const tags = ['relay']
const KINDS = ['event', 'attempt', 'refusal'] as const

/** See `ultravox-relay status`, `tail` and `reload`. */
export function relayApi(app: FastifyInstance, { config, operator, clock, certificate, rotations }: ApiContext): void {
  app.get(
    '/api/status',
    {
      schema: {
        tags,
        operationId: 'getStatus',
        summary: 'How the relay, its sources, targets and outbox are doing',
        response: answers(shape('Status')),
      },
    },
    async () => statusDocument(await statusOf(config, operator, readMachineClock(clock), certificate, rotations)),
  )

  app.get<{ Querystring: { limit: number } }>(
    '/api/tail',
    {
      schema: {
        tags,
        operationId: 'getTail',
        summary: 'What has happened last, in its order: events received, attempts made, requests refused',
        querystring: {
          type: 'object',
          additionalProperties: false,
          properties: { limit: { type: 'integer', minimum: 1, maximum: 1_000, default: 20 } },
        },
        response: answers(object({ entries: listOf(shape('Entry')) }), 400),
      },
    },
    async ({ query: { limit } }) => {
      const { entries } = await operator.newestEntries({ kinds: KINDS }, limit)
      return { entries: entries.map(entryDocument) }
    },
  )

  app.post(
    '/api/reload',
    {
      schema: {
        tags,
        operationId: 'reload',
        summary: 'Take over the changed configuration; where it is invalid, the old one stays',
        response: answers(
          object({
            configFile: text,
            reloadedAt: instant,
            changes: listOf(text),
            orphaned: listOf(object({ target: text, pending: count, dead: count })),
          }),
          422,
        ),
      },
    },
    async () => reloadDaemon(operator),
  )
}
