import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { decodableUrl } from '../domain/decodable-url.ts'
import { REQUEST_ID_HEADER } from '../domain/request-id-header.ts'
import { type AccessOptions, createAccess } from './access.ts'
import { errorAnswer } from './answers.ts'
import type { ApiContext } from './api/context.ts'
import { deliveriesApi } from './api/deliveries.ts'
import { eventsApi } from './api/events.ts'
import { rejectionsApi } from './api/rejections.ts'
import { relayApi } from './api/relay.ts'
import { targetsApi } from './api/targets.ts'
import { takeInputExactly } from './exact-input.ts'
import { type HealthOptions, health, OPEN_PATHS } from './health.ts'
import type { UnreadableRequest } from './listener.ts'
import { describe } from './openapi.ts'

const BODY_LIMIT_BYTES = 1024 * 1024

export interface AdminAppOptions extends HealthOptions, ApiContext {
  readonly access: AccessOptions
  /** Makes an id for each request. */
  readonly newRequestId: () => string
  readonly log: AdminLog
}

export interface AdminLog {
  answered(request: FastifyRequest, reply: FastifyReply): void
  /** A fault of ours; whoever asked was told 500. */
  failed(error: unknown, request: FastifyRequest): void
  /** A request that is not HTTP, or has headers that are too large. */
  unreadable(request: UnreadableRequest): void
}

/** What answers operators under one configuration: health, metrics and the API. It has no socket of its own. */
export async function createAdminApp(options: AdminAppOptions): Promise<FastifyInstance> {
  const app = fastify({
    logger: false,
    genReqId: options.newRequestId,
    bodyLimit: BODY_LIMIT_BYTES,
    rewriteUrl: ({ url }) => decodableUrl(url!),
    // What is not known is an error and is not taken away: a slip in a filter would mean everything. And bounds are to hold
    // for Infinity too (`limit=1e999`), which ajv would pass over as no number to compare.
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false, strictNumbers: false } },
    schemaErrorFormatter: ([error], place) => {
      const { additionalProperty } = error!.params as { additionalProperty?: string }
      if (additionalProperty !== undefined)
        return new Error(`${place}: ${JSON.stringify(additionalProperty)} is not known`)
      return new Error(`${place}${error!.instancePath} ${error!.message}`)
    },
  })
  // The documents go out as they are; their schemas only describe them.
  app.setSerializerCompiler(() => JSON.stringify)
  app.addHook('onRequest', async (request, reply) => void reply.header(REQUEST_ID_HEADER, request.id))
  answerErrors(app, options.log)
  takeInputExactly(app)
  guard(app, options.access)
  await describe(app, options.access.token !== null)
  app.after(() => {
    health(app, options)
    for (const api of [relayApi, eventsApi, deliveriesApi, rejectionsApi, targetsApi]) api(app, options)
    app.get('/api/openapi.json', { schema: { hide: true } }, async () => app.swagger())
  })
  app.addHook('onResponse', async (request, reply) => options.log.answered(request, reply))
  await app.ready()
  return app
}

function guard(app: FastifyInstance, access: AccessOptions): void {
  const denialOf = createAccess(access)
  app.addHook('onRequest', async (request, reply) => {
    if (OPEN_PATHS.includes(request.url.split('?', 1)[0]!)) return
    const denial = denialOf(request.raw)
    if (denial === null) return
    const { status, ...body } = denial
    if (status === 401) reply.header('www-authenticate', 'Bearer')
    return reply.code(status).send(body)
  })
}

function answerErrors(app: FastifyInstance, log: AdminLog): void {
  app.setErrorHandler(async (error, request, reply) => {
    const answer = errorAnswer(error)
    if (answer !== null) return reply.code(answer.status).send(answer.body)
    log.failed(error, request)
    return reply.code(500).send({ error: 'internal', message: 'the relay failed; its log says why' })
  })
  app.setNotFoundHandler(async (_request, reply) => nothingHere(reply))
}

function nothingHere(reply: FastifyReply): FastifyReply {
  return reply.code(404).send({ error: 'not_found', message: 'there is nothing here: see /api/openapi.json' })
}
