import type { IncomingMessage } from 'node:http'
import rateLimit from '@fastify/rate-limit'
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { Clock } from '../domain/clock.ts'
import { decodableUrl } from '../domain/decodable-url.ts'
import { errorMessage, HTTP_STATUS } from '../domain/errors.ts'
import { REQUEST_ID_HEADER } from '../domain/request-id-header.ts'
import type { Outbox } from '../outbox/outbox.ts'
import type { Judge } from '../sources/scheme.ts'
import type { BodyBudget } from './body-budget.ts'
import type { FamiliarPeers } from './familiar-peers.ts'
import type { Receipt, Receiver } from './receiver.ts'
import { type Refusal, refusal, rejectionOf } from './refusal.ts'
import type { Source } from './source.ts'
import { answerUnreadable, type Unreadable } from './unreadable.ts'

const HEALTH_PATH = '/healthz'
/** What a sender is told to wait when the outbox cannot take its event. The provider's own first retry is at 30 s. */
const RETRY_AFTER_S = 10
const NO_BODY = new Uint8Array()
/** No route has a schema. Fastify would load what compiles them all the same, which is a tenth of what a relay loads. */
const NO_SCHEMAS = { compilersFactory: { buildValidator: noSchema, buildSerializer: noSchema } }

declare module 'fastify' {
  interface FastifyRequest {
    /** The source the request is for; null for paths of no source. */
    relaySource: Source | null
    /** Judges the body, once its headers were found to be in order. */
    relayJudge: Judge | null
    /** The Content-Type header as received. */
    relayContentType: string | null
    /** What became of the request, for its log line; null where it had nothing to do with events. */
    relayReceipt: Receipt | null
  }
}

/** What is remembered of clients, and outlives a configuration. */
export interface ClientMemory {
  readonly familiar: FamiliarPeers
  readonly bodies: BodyBudget
  /** Requests on connections where too many wait for their answers. */
  readonly crowded: Pick<WeakSet<IncomingMessage>, 'has'>
}

export interface AppOptions {
  readonly sources: readonly Source[]
  readonly receive: Receiver
  readonly outbox: Pick<Outbox, 'reject'>
  readonly clock: Clock
  readonly trustProxy: readonly string[]
  readonly bodyLimitBytes: number
  readonly rateLimit: { readonly maxRefused: number; readonly perMs: number }
  /** Makes an id for each request. A sender's own is not taken: it could be anything, and anybody's. */
  readonly newRequestId: () => string
  readonly log: AppLog
}

export interface AppLog {
  answered(request: FastifyRequest, reply: FastifyReply): void
  /** A fault of ours; the sender was told 500. */
  failed(error: unknown, request: FastifyRequest): void
  /** A request that is not one. */
  unreadable(request: Unreadable): void
}

/** What answers requests under one configuration: HTTP in front of the receiver. It has no socket of its own. */
export async function createApp(options: AppOptions, memory: ClientMemory): Promise<FastifyInstance> {
  const { clock, receive } = options
  const { familiar, bodies, crowded } = memory
  const sources = new Map(options.sources.map((source) => [source.path, source]))
  const app = createServer(options)
  await app.register(rateLimit, { global: false })
  const limiter = app.createRateLimit({ max: options.rateLimit.maxRefused, timeWindow: options.rateLimit.perMs })

  app.decorateRequest('relaySource', null)
  app.decorateRequest('relayJudge', null)
  app.decorateRequest('relayContentType', null)
  app.decorateRequest('relayReceipt', null)
  app.addHook('onRequest', async (request, reply) => {
    reply.header(REQUEST_ID_HEADER, request.id)
    if (crowded.has(request.raw)) {
      reply.header('connection', 'close')
      return refuse(request, reply, tooManyRequests())
    }
    const path = request.url.split('?', 1)[0]!
    const stranger = !familiar.has(request.ip, clock.now())
    // Health is never limited: behind a proxy that is not trusted, all clients share its address.
    if (path !== HEALTH_PATH && stranger) {
      const limit = await limiter(request, { increment: false })
      if (!limit.isAllowed && limit.remaining === 0) return tooMany(request, reply, limit.ttlInSeconds)
    }
    const source = sources.get(path)
    if (source !== undefined) {
      request.relaySource = source
      if (request.method !== 'POST') return refuse(request, reply, wrongMethod(reply, 'POST'))
      // Fastify would answer 415 to a Content-Type it cannot read. Whether an event is genuine does not hang on that.
      request.relayContentType = request.headers['content-type'] ?? null
      request.headers['content-type'] = undefined
      const bytes = declaredLength(request) ?? options.bodyLimitBytes
      // What is too large, Fastify refuses by itself. What its headers alone condemn is not worth reading either.
      if (bytes > options.bodyLimitBytes) return
      const opened = source.scheme.open(incoming(request, null))
      if (typeof opened !== 'function') return refuse(request, reply, { kind: 'refused', ...opened })
      request.relayJudge = opened
      if (stranger && !bodies.take(bytes, reply.raw)) return refuse(request, reply, tooManyBodies())
    } else if (path !== HEALTH_PATH) {
      return refuse(request, reply, unknownPath())
    } else if (request.method !== 'GET' && request.method !== 'HEAD') {
      return refuse(request, reply, wrongMethod(reply, 'GET, HEAD'))
    }
  })

  app.all('*', async (request, reply) => {
    const source = request.relaySource
    if (source === null) return reply.send({ status: 'ok' })
    const body = (request.body as Buffer | undefined) ?? NO_BODY
    const receipt = await receive(source, { ...incoming(request, body), judge: request.relayJudge! })
    if (receipt.kind === 'refused') return refuse(request, reply, receipt)
    familiar.saw(request.ip, clock.now())
    request.relayReceipt = receipt
    return reply.code(204).send()
  })

  app.setErrorHandler(async (error, request, reply) => {
    const status = (error as { statusCode?: number }).statusCode ?? 500
    if (status === 413) return refuse(request, reply, refusal('body_too_large', 'the body is over the limit'))
    if (status < 500) return refuse(request, reply, refusal('request_invalid', errorMessage(error)))
    options.log.failed(error, request)
    return reply.code(500).send({ error: 'internal', message: 'the relay failed; send it again later' })
  })

  app.addHook('onResponse', async (request, reply) => options.log.answered(request, reply))

  /** Answers a refusal, counts it against its address and puts it on record: all but what is our own trouble. */
  async function refuse(request: FastifyRequest, reply: FastifyReply, refused: Refusal) {
    const status = HTTP_STATUS[refused.code]
    if (status >= 500) {
      reply.header('retry-after', RETRY_AFTER_S)
    } else {
      // A valid signature speaks for its address, whatever else is wrong: it may be only a clock, here or there.
      if (refused.signed) familiar.saw(request.ip, clock.now())
      else {
        const limit = await limiter(request)
        if (!limit.isAllowed && limit.isExceeded) return tooMany(request, reply, limit.ttlInSeconds)
        recordUnsigned(request, refused)
      }
    }
    return answer(request, reply, refused)
  }

  /** Not waited for, nor missed if it fails: it is only noise, and there may be much of it. */
  function recordUnsigned(request: FastifyRequest, refused: Refusal): void {
    const source = request.relaySource
    if (source === null) return
    const seen = incoming(request, (request.body as Buffer | undefined) ?? null)
    const bytes = seen.body?.byteLength ?? declaredLength(request)
    options.outbox.reject(rejectionOf(source, seen, refused, clock.now(), bytes)).catch(() => {})
  }

  await app.ready()
  return app
}

function createServer({ trustProxy, bodyLimitBytes, newRequestId, log }: AppOptions): FastifyInstance {
  const app = fastify({
    logger: false,
    schemaController: NO_SCHEMAS,
    trustProxy: trustProxy.length > 0 ? [...trustProxy] : false,
    bodyLimit: bodyLimitBytes,
    genReqId: newRequestId,
    clientErrorHandler: (error, socket) => log.unreadable(answerUnreadable(error, socket, newRequestId())),
    rewriteUrl: ({ url }) => decodableUrl(withoutOrigin(url!)),
  })
  // Verification and forwarding need the bytes as they came, whatever the Content-Type; Fastify's own JSON parser would
  // also refuse genuine bodies that hold `__proto__`.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  return app
}

function noSchema(): never {
  throw new Error('no route of the public listener has a schema')
}

function incoming<B extends Uint8Array | null>(request: FastifyRequest, body: B) {
  return {
    header: (name: string) => request.headers[name] as string | undefined,
    headerCount: (name: string) => request.raw.headersDistinct[name]?.length ?? 0,
    body,
    contentType: request.relayContentType,
    requestId: request.id,
    peer: request.ip,
  }
}

/** What the headers say of the size of a body that was not read; null where it comes in chunks. */
function declaredLength({ headers }: FastifyRequest): number | null {
  if (headers['transfer-encoding'] !== undefined) return null
  const length = Number(headers['content-length'] ?? 0)
  return Number.isSafeInteger(length) ? length : null
}

/** Some clients name the origin too, as if to a proxy; HTTP has servers take that (RFC 9112, 3.2.2). Whose name it is does not matter. */
function withoutOrigin(url: string): string {
  if (url.startsWith('/')) return url
  const rest = url.replace(/^https?:\/\/[^/?#]*/i, '')
  return rest === url || rest.startsWith('/') ? rest : `/${rest}`
}

function wrongMethod(reply: FastifyReply, allow: string): Refusal {
  reply.header('allow', allow)
  return refusal('method_not_allowed', `only ${allow} is allowed here`)
}

function tooManyBodies(): Refusal {
  return refusal('overloaded', 'too many large requests are under way; send it again later')
}

function tooManyRequests(): Refusal {
  return refusal(
    'overloaded',
    'too many requests wait for their answers on this connection; wait for some before the next',
  )
}

function unknownPath(): Refusal {
  return refusal('not_found', 'nothing listens on this path')
}

function tooMany(request: FastifyRequest, reply: FastifyReply, ttlInSeconds: number) {
  reply.header('retry-after', Math.max(1, ttlInSeconds))
  // The body may not have been read, and will not be.
  reply.header('connection', 'close')
  return answer(request, reply, refusal('rate_limited', 'too many refused requests from this address'))
}

function answer(request: FastifyRequest, reply: FastifyReply, refused: Refusal) {
  request.relayReceipt = refused
  return reply.code(HTTP_STATUS[refused.code]).send({ error: refused.code, message: refused.message })
}
