import type { Dispatcher } from 'undici'
import type { Clock } from '../domain/clock.ts'
import { asUtf8 } from '../domain/json-bytes.ts'
import { describeNetworkError } from '../domain/network-error.ts'
import { retryAfterMs } from '../domain/retry-after.ts'
import type { Secret } from '../domain/secret.ts'
import { VERSION } from '../version.ts'
import { answerError } from './answer-error.ts'
import { withLinkedSignal } from './linked-signal.ts'
import { ProviderError } from './provider-error.ts'

export interface ApiRequest {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  /** Path and query, as they are sent. */
  readonly path: string
  /** What errors call it: the path without its query. */
  readonly name: string
  /** JSON text. */
  readonly body?: string
  /** What is in `body` and must not be told. */
  readonly secrets?: readonly Secret[]
  /** Whether only the head of the answer matters: a redirect is an answer too, and no body is read. */
  readonly headOnly?: boolean
}

export interface ApiAnswer {
  readonly status: number
  readonly headers: Dispatcher.ResponseData['headers']
  /** In UTF-8, so that pieces of it can be cut out. Empty where only the head was wanted. */
  readonly body: Buffer
}

export interface ExchangeWay {
  readonly dispatcher: Dispatcher
  readonly host: string
  readonly apiKey: Secret
  /** From the connect to the last byte of the answer. */
  readonly timeoutMs: number
  readonly clock: Clock
}

/**
 * Sends a request once and reads the answer whole. Throws `ProviderError` for anything but a 2xx, and the reason of
 * `signal` when that aborts. The key goes to the dispatcher's origin and nowhere else: `request` follows no redirect.
 */
export async function exchange(way: ExchangeWay, request: ApiRequest, signal: AbortSignal): Promise<ApiAnswer> {
  const answer = await withDeadline(way, request, signal, (aborted) => send(way, request, aborted))
  const { status } = answer
  if ((status >= 200 && status < 300) || (request.headOnly === true && isRedirect(status))) return answer
  const retryAfter = answer.headers['retry-after']
  throw answerError(
    `${request.method} ${request.name}`,
    {
      status,
      retryAfterMs: retryAfterMs(Array.isArray(retryAfter) ? retryAfter[0] : retryAfter, way.clock.now()),
      text: answer.body.toString('utf8'),
    },
    [way.apiKey, ...(request.secrets ?? [])],
  )
}

export function isRedirect(status: number): boolean {
  return status >= 300 && status < 400
}

async function send(way: ExchangeWay, request: ApiRequest, signal: AbortSignal): Promise<ApiAnswer> {
  const { statusCode, headers, body } = await way.dispatcher.request({
    method: request.method,
    path: request.path,
    headers: {
      'x-api-key': way.apiKey.reveal(),
      accept: request.headOnly === true ? '*/*' : 'application/json',
      'user-agent': `ultravox-relay/${VERSION}`,
      ...(request.body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(request.body !== undefined && { body: request.body }),
    signal,
  })
  if (request.headOnly === true && statusCode < 400) {
    // A recording may be hundreds of megabytes: cheaper to lose the connection than to read it. Says so by an error.
    body.on('error', () => {}).destroy()
    return { status: statusCode, headers, body: Buffer.alloc(0) }
  }
  const chunks: Buffer[] = []
  try {
    for await (const chunk of body) chunks.push(chunk as Buffer)
  } catch (error) {
    // Without its body a success is of no use, but any other status is a reason that helps.
    if (statusCode < 300) throw error
  }
  const text = asUtf8(Buffer.concat(chunks))
  return { status: statusCode, headers, body: Buffer.from(text.buffer, text.byteOffset, text.byteLength) }
}

async function withDeadline<T>(
  { host, timeoutMs }: ExchangeWay,
  { method, name }: ApiRequest,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  try {
    return await withLinkedSignal([signal], (linked, abort) => {
      const late = new ProviderError(
        'provider_failed',
        `${method} ${name}: timeout: no complete answer within ${timeoutMs / 1000}s`,
        { repeat: 'idempotent' },
      )
      timer = setTimeout(() => abort(late), timeoutMs)
      return work(linked)
    })
  } catch (error) {
    if (signal.aborted || error instanceof ProviderError) throw error
    throw brokenExchange(`${method} ${name}`, error, host)
  } finally {
    clearTimeout(timer)
  }
}

function brokenExchange(request: string, error: unknown, host: string): ProviderError {
  const { code } = error as { code?: unknown }
  if (code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE') {
    return new ProviderError('provider_failed', `${request}: the answer is too large`, { repeat: 'never' })
  }
  const story = describeNetworkError(error, host)
  // Its first word is the stage; in these, no byte of the request was sent.
  const unsent = /^(dns|connect|proxy):/.test(story) || code === 'UND_ERR_CONNECT_TIMEOUT'
  return new ProviderError('provider_failed', `${request}: ${story}`, { repeat: unsent ? 'always' : 'idempotent' })
}
