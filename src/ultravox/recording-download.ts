import { rootCertificates } from 'node:tls'
import type { Dispatcher } from 'undici'
import type { Clock } from '../domain/clock.ts'
import { describeNetworkError } from '../domain/network-error.ts'
import { retryAfterMs } from '../domain/retry-after.ts'
import { Secret } from '../domain/secret.ts'
import type { ConnectionOptions } from '../outgoing/connector.ts'
import { createDeadlines } from '../outgoing/deadlines.ts'
import { createPool } from '../outgoing/pool.ts'
import { VERSION } from '../version.ts'
import { ProviderError } from './provider-error.ts'
import { type Recording, redirectedTo, textOf, typeProblem, unusable } from './recording.ts'
import { type RequestGate, realPause } from './request-gate.ts'
import { type ApiAccess, closingGate } from './requests.ts'

/** A recording on its way. */
export interface Download {
  readonly contentType: string
  /** As announced; 0 where it is not. */
  readonly bytes: number
  /** Throws `ProviderError` where it breaks off, is empty, or is not as long as announced. */
  readonly chunks: AsyncIterable<Uint8Array>
  /** Gives up what is not read yet; to be called in any case. */
  readonly cancel: () => void
}

export interface DownloadOptions {
  readonly access: ApiAccess
  /** Of the API key. */
  readonly gate: RequestGate
  readonly clock: Clock
  readonly signal: AbortSignal
}

/** Redirects that are followed, after the one by which the API may have led to the recording. */
const MAX_REDIRECTS = 3
const REDIRECTS = new Set([301, 302, 303, 307, 308])
const CONNECT_TIMEOUT_MS = 30_000

/**
 * Begins to fetch a recording, following a few redirects. The key goes along only for as long as the URL is the API's own,
 * and never again after another origin. Errors name the host and not the URL, which may be the permission. Throws
 * `ProviderError`.
 */
export async function download({ url, needsApiKey }: Recording, options: DownloadOptions): Promise<Download> {
  let at = new URL(url.reveal())
  let withKey = needsApiKey
  for (let redirects = 0; ; redirects++) {
    const answer = await request(at, withKey, options)
    if (!REDIRECTS.has(answer.status)) {
      const problem = problemWith(answer, at.host, options.clock)
      if (problem === null) return received(answer, at.host, options.signal)
      answer.cancel()
      throw withKey ? closingGate(options.gate, problem, options.clock) : problem
    }
    answer.cancel()
    if (redirects === MAX_REDIRECTS) {
      throw unusable(`${at.host} redirects once more after ${MAX_REDIRECTS} redirects, which is not followed`)
    }
    const next = redirectedTo(at, answer.headers.location)
    withKey &&= next.origin === at.origin
    at = next
  }
}

interface Answer {
  readonly status: number
  readonly headers: Dispatcher.ResponseData['headers']
  readonly body: AsyncIterable<Uint8Array>
  readonly cancel: () => void
}

async function request(url: URL, withKey: boolean, options: DownloadOptions): Promise<Answer> {
  const { access, gate, clock, signal } = options
  if (withKey) await gate.pass(clock, realPause, signal)
  // Each has a connection of its own: a recording is far larger than a handshake.
  const pool = createPool(url.origin, {
    ...connectionTo(withKey, access),
    allowLinkLocal: 'never',
    connections: 1,
    deadlines: createDeadlines(CONNECT_TIMEOUT_MS),
  })
  const end = () => void pool.destroy()
  try {
    const { statusCode, headers, body } = await pool.dispatcher.request({
      method: 'GET',
      path: `${url.pathname}${url.search}`,
      headers: {
        'user-agent': `ultravox-relay/${VERSION}`,
        ...(withKey && { 'x-api-key': access.apiKey.reveal() }),
      },
      signal,
    })
    const cancel = () => {
      body.on('error', () => {}).destroy()
      end()
    }
    return { status: statusCode, headers, body, cancel }
  } catch (error) {
    end()
    throw broken(error, url.host, signal)
  }
}

/** The authority that is configured for the API is trusted beside the well-known ones at the hosts it leads to. */
function connectionTo(isApi: boolean, { proxy, tls, lookup }: ApiAccess): ConnectionOptions {
  const ca = tls?.ca && !isApi ? new Secret([...rootCertificates, tls.ca.reveal()].join('\n')) : tls?.ca
  return { proxy: proxy ?? null, tls: tls ? { ...tls, ca: ca ?? null } : null, ...(lookup && { lookup }) }
}

/** Why an answer is not a recording; null where it is one. */
function problemWith({ status, headers }: Answer, host: string, clock: Clock): ProviderError | null {
  if (status !== 200) return wrongStatus(status, headers, host, clock)
  const wrongType = typeProblem(headers, host)
  if (wrongType !== null) return wrongType
  const encoding = textOf(headers['content-encoding'])
  if (encoding === undefined || encoding.toLowerCase() === 'identity') return null
  return unusable(`${host} sent the recording compressed, which was not asked for`)
}

function received({ headers, body, cancel }: Answer, host: string, signal: AbortSignal): Download {
  const bytes = Number(textOf(headers['content-length']) ?? 0)
  return {
    contentType: textOf(headers['content-type']) ?? 'application/octet-stream',
    bytes,
    chunks: whole(body, bytes, host, signal),
    cancel,
  }
}

function wrongStatus(
  status: number,
  headers: Dispatcher.ResponseData['headers'],
  host: string,
  clock: Clock,
): ProviderError {
  const wait = retryAfterMs(textOf(headers['retry-after']), clock.now())
  return new ProviderError('provider_failed', `http ${status} from ${host}`, {
    repeat: 'idempotent',
    status,
    unusable: status < 500 && status !== 408 && status !== 425 && status !== 429,
    ...(wait !== undefined && { retryAfterMs: wait }),
  })
}

/** `announced`: 0 where it is not. */
async function* whole(chunks: AsyncIterable<Uint8Array>, announced: number, host: string, signal: AbortSignal) {
  let bytes = 0
  try {
    for await (const chunk of chunks) {
      if (bytes === 0 && isText(chunk)) throw unusable(`${host} sent JSON or markup instead of audio`)
      bytes += chunk.length
      yield chunk
    }
  } catch (error) {
    throw broken(error, host, signal)
  }
  if (bytes === 0) throw unusable(`${host} sent an empty recording`)
  if (announced !== 0 && bytes !== announced) {
    const message = `${host} sent ${bytes} bytes of a recording of ${announced}`
    throw new ProviderError('provider_failed', message, { repeat: 'idempotent' })
  }
}

/** Whether an answer begins as JSON, HTML or XML do: that of a service with an error and no or a general content type. */
function isText(start: Uint8Array): boolean {
  return /^\s*(\{\s*["}]|\[\s*[[\]{"]|<[!?a-z])/i.test(Buffer.from(start.subarray(0, 64)).toString('latin1'))
}

function broken(error: unknown, host: string, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason
  if (error instanceof ProviderError) return error
  return new ProviderError('provider_failed', describeNetworkError(error, host), { repeat: 'idempotent' })
}
