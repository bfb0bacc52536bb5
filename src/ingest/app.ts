import type { IncomingMessage } from 'node:http'
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { Clock } from '../domain/clock.ts'
import { decodableUrl } from '../domain/decodable-url.ts'
import { errorMessage, HTTP_STATUS, type RefusalCode, RelayError } from '../domain/errors.ts'
import type { HandshakeFailure } from '../domain/handshake-failure.ts'
import { REQUEST_ID_HEADER } from '../domain/request-id-header.ts'
import type { Outbox } from '../outbox/outbox.ts'
import type { Judge } from '../sources/scheme.ts'
import { type Connections, stopReading } from './connections.ts'
import { explainedByEncoding } from './encoding.ts'
import { clientOf, type Peer, peerAt } from './peer.ts'
import { readBody } from './read-body.ts'
import type { Receipt, Receiver } from './receiver.ts'
import { type Refusal, refusal, rejectionOf } from './refusal.ts'
import { createRejectionLimiter, type RejectionLimit, type RejectionWindows } from './rejection-limiter.ts'
import type { Source } from './source.ts'
import type { TrustedPeers } from './trusted-peers.ts'
import { answerUnreadable, MOST_HEADERS, type Unreadable } from './unreadable.ts'
import type { UploadBudget } from './upload-budget.ts'

const HEALTH_PATH = '/healthz'
/** What a sender is told to wait when the outbox cannot take its event. The provider's own first retry is at 30 s. */
const RETRY_AFTER_S = 10
/** As nginx logs it: nobody was there to be answered. */
const CLIENT_CLOSED = 499
const NO_BODY = new Uint8Array()
/** No route has a schema. Fastify would load what compiles them all the same, which is a tenth of what a relay loads. */
const NO_SCHEMAS = { compilersFactory: { buildValidator: noSchema, buildSerializer: noSchema } }

declare module 'fastify' {
  interface FastifyRequest {
    /** The client: of the connection, or of the reverse proxy at its other end. */
    relayPeer: Peer
    /** The source the request is for; null for paths of no source. */
    relaySource: Source | null
    /** Judges the body, once its headers were found to be in order. */
    relayJudge: Judge | null
    /** The Content-Type header as received. */
    relayContentType: string | null
    /** The size of the body, once it was read. */
    relayBodyBytes: number | null
    /** What became of the request, for its log line; null where it had nothing to do with events. */
    relayReceipt: Receipt | null
  }
}

/** What is remembered of clients, and outlives a configuration. */
export interface ClientMemory {
  readonly trusted: TrustedPeers
  readonly connections: Pick<Connections, 'peerOf' | 'attribute' | 'trust'>
  readonly uploads: UploadBudget
  readonly rejections: RejectionWindows
  /** Requests on connections where too many wait for their answers. */
  readonly crowded: Pick<WeakSet<IncomingMessage>, 'has'>
}

export interface AppOptions {
  readonly sources: readonly Source[]
  readonly receive: Receiver
  readonly outbox: Pick<Outbox, 'reject'>
  readonly clock: Clock
  /** Tells reverse proxies whose X-Forwarded-For is believed. */
  readonly isProxy: (address: string) => boolean
  readonly bodyLimitBytes: number
  readonly rateLimit: RejectionLimit
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
  /** A TLS handshake failed, so no request came of it. */
  handshakeFailed(failure: HandshakeFailure): void
}

/** What answers requests under one configuration: HTTP in front of the receiver. It has no socket of its own. */
export async function createApp(options: AppOptions, memory: ClientMemory): Promise<FastifyInstance> {
  const { clock, receive, rateLimit, isProxy } = options
  const { trusted, connections, rejections, crowded } = memory
  const sources = new Map(options.sources.map((source) => [source.path, source]))
  const app = createServer(options, memory)
  const limiter = await createRejectionLimiter(app, rateLimit, rejections)

  app.decorateRequest('relayPeer', null as unknown as Peer)
  app.decorateRequest('relaySource', null)
  app.decorateRequest('relayJudge', null)
  app.decorateRequest('relayContentType', null)
  app.decorateRequest('relayReceipt', null)
  app.decorateRequest('relayBodyBytes', null)
  app.addHook('onRequest', async (request, reply) => {
    reply.header(REQUEST_ID_HEADER, request.id)
    const { socket } = request.raw
    const connected = connections.peerOf(socket)!
    request.relayPeer = clientOf(connected, request.headers['x-forwarded-for'] as string | undefined, isProxy)
    if (request.relayPeer !== connected) connections.attribute(socket, request.relayPeer)
    if (crowded.has(request.raw)) {
      reply.header('connection', 'close')
      return refuse(request, reply, tooManyRequests())
    }
    const path = request.url.split('?', 1)[0]!
    const source = sources.get(path)
    if (request.raw.rawHeaders.length > 2 * MOST_HEADERS) {
      request.relaySource = source ?? null
      reply.header('connection', 'close')
      return refuse(request, reply, refusal('headers_too_large', `more than ${MOST_HEADERS} headers`))
    }
    if (request.headers.host === undefined && request.raw.httpVersion === '1.1') {
      request.relaySource = source ?? null
      reply.header('connection', 'close')
      return refuse(request, reply, refusal('request_invalid', 'the request has no Host header'))
    }
    // Health is never limited: behind a proxy that is not trusted, all clients share its address.
    if (path !== HEALTH_PATH && (source === undefined || !isTrusted(trusted, request.relayPeer, source, clock.now()))) {
      const limitedSeconds = await limiter.limitedSeconds(request)
      if (limitedSeconds > 0) return tooMany(request, reply, limitedSeconds)
    }
    if (source !== undefined) {
      request.relaySource = source
      if (request.method !== 'POST') return refuse(request, reply, wrongMethod(reply, 'POST'))
      // Fastify would answer 415 to a Content-Type it cannot read. Whether an event is genuine does not hang on that.
      request.relayContentType = request.headers['content-type'] ?? null
      request.headers['content-type'] = undefined
      // Refused when it is to be read. What its headers alone condemn is not worth reading either.
      if ((declaredLength(request) ?? 0) > options.bodyLimitBytes) return
      const headers = incoming(request, null)
      const opened = source.scheme.open(headers)
      if (typeof opened !== 'function') {
        return refuse(request, reply, explainedByEncoding(headers, { kind: 'refused', ...opened }))
      }
      request.relayJudge = opened
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
    request.relayBodyBytes = body.byteLength
    // The request outlives its handling while answers before its own are still to be sent. Its body need not.
    request.body = undefined
    const receipt = await receive(source, { ...incoming(request, body), judge: request.relayJudge! })
    if (receipt.kind === 'refused') return refuse(request, reply, receipt)
    if (source.scheme.verifies) {
      trusted.add(request.relayPeer.address, source.name, clock.now())
      connections.trust(request.raw.socket)
    }
    request.relayReceipt = receipt
    return isGone(request) ? unheard(request, reply) : reply.code(204).send()
  })

  app.setErrorHandler(async (error, request, reply) => {
    if (error instanceof RelayError) {
      // The rest of the body will not be read.
      reply.header('connection', 'close')
      return refuse(request, reply, refusal(error.code as RefusalCode, error.message))
    }
    const status = (error as { statusCode?: number }).statusCode ?? 500
    if (status < 500) return refuse(request, reply, refusal('request_invalid', errorMessage(error)))
    options.log.failed(error, request)
    return reply.code(500).send({ error: 'internal', message: 'the relay failed; send it again later' })
  })

  app.addHook('onResponse', async (request, reply) => options.log.answered(request, reply))

  /** Answers a refusal, counts it against its address and puts it on record: all but what is our own trouble. */
  async function refuse(request: FastifyRequest, reply: FastifyReply, refused: Refusal) {
    const status = HTTP_STATUS[refused.code]
    if (status === 415) reply.header('accept-encoding', 'identity')
    if (status >= 500) {
      reply.header('retry-after', RETRY_AFTER_S)
    } else if (!refused.signed) {
      const limitedSeconds = await limiter.count(request)
      if (limitedSeconds > 0) return tooMany(request, reply, limitedSeconds)
      recordUnsigned(request, refused)
    }
    return answer(request, reply, refused)
  }

  /** The sender has closed the connection before its answer, of which Fastify reports nothing. Its event counts all the same. */
  function unheard(request: FastifyRequest, reply: FastifyReply) {
    reply.code(CLIENT_CLOSED)
    options.log.answered(request, reply)
    return reply.send()
  }

  /** Not waited for, nor missed if it fails: it is only noise, and there may be much of it. */
  function recordUnsigned(request: FastifyRequest, refused: Refusal): void {
    const source = request.relaySource
    if (source === null) return
    const bytes = request.relayBodyBytes ?? declaredLength(request)
    options.outbox.reject(rejectionOf(source, incoming(request, null), refused, clock.now(), bytes)).catch(() => {})
  }

  await app.ready()
  return app
}

function createServer(options: AppOptions, { connections, uploads, trusted }: ClientMemory): FastifyInstance {
  const { isProxy, bodyLimitBytes, clock, newRequestId, log } = options
  const app = fastify({
    logger: false,
    schemaController: NO_SCHEMAS,
    // Only for X-Forwarded-Proto: see `clientOf` for the client's address.
    trustProxy: (address) => isProxy(peerAt(address ?? '')?.address ?? ''),
    genReqId: newRequestId,
    clientErrorHandler: (error, socket) =>
      log.unreadable(answerUnreadable(error, socket, connections.peerOf(socket), newRequestId())),
    rewriteUrl: ({ url }) => decodableUrl(withoutOrigin(url!)),
  })
  // Verification and forwarding need the bytes as they came, whatever the Content-Type; Fastify's own JSON parser would
  // also refuse genuine bodies that hold `__proto__`.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', ({ raw, relayPeer, relaySource }: FastifyRequest) =>
    readBody(raw, {
      limitBytes: bodyLimitBytes,
      budget: uploads,
      network: relayPeer.network,
      trusted: relaySource !== null && isTrusted(trusted, relayPeer, relaySource, clock.now()),
    }),
  )
  return app
}

function isGone({ raw }: FastifyRequest): boolean {
  return raw.socket.destroyed
}

/** Whether a source's requests from a peer are verified before they are limited. */
function isTrusted(peers: TrustedPeers, { address }: Peer, { name, scheme }: Source, now: number): boolean {
  return scheme.verifies && peers.has(address, name, now)
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
    peer: request.relayPeer.address,
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

function tooManyRequests(): Refusal {
  return refusal(
    'overloaded',
    'too many requests wait for their answers on this connection; wait for some before the next',
  )
}

function unknownPath(): Refusal {
  return refusal('not_found', 'nothing listens on this path')
}

function tooMany(request: FastifyRequest, reply: FastifyReply, limitedSeconds: number) {
  reply.header('retry-after', limitedSeconds)
  // The body may not have been read, and will not be.
  reply.header('connection', 'close')
  return answer(request, reply, refusal('rate_limited', 'too many refused requests from this address'))
}

function answer(request: FastifyRequest, reply: FastifyReply, refused: Refusal) {
  if (request.headers['transfer-encoding'] !== undefined && !request.raw.complete) {
    // Node would go on to take the body apart chunk by chunk, only to drop it.
    reply.header('connection', 'close')
    stopReading(request.raw.socket)
  }
  request.relayReceipt = refused
  return reply.code(HTTP_STATUS[refused.code]).send({ error: refused.code, message: refused.message })
}
