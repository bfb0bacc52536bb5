import { type Agent, request } from 'undici'
import type { Clock } from '../domain/clock.ts'
import { describeNetworkError } from '../domain/network-error.ts'
import { retryAfterMs } from '../domain/retry-after.ts'
import type { Secret } from '../domain/secret.ts'
import { VERSION } from '../version.ts'
import { ProviderError } from './provider-error.ts'
import type { Recording } from './recording.ts'

/** A recording on its way. */
export interface Download {
  readonly contentType: string
  /** As announced; 0 where it is not. */
  readonly bytes: number
  /** Throws `ProviderError` where it breaks off. */
  readonly chunks: AsyncIterable<Uint8Array>
  /** Gives up what is not read yet; to be called in any case. */
  readonly cancel: () => void
}

export interface DownloadOptions {
  readonly agent: Agent
  readonly apiKey: Secret
  readonly clock: Clock
  readonly signal: AbortSignal
}

/**
 * Begins to fetch a recording. The key goes along only where the URL is the API's own, and no further redirect is
 * followed. Errors name the host and not the URL, which may be the permission. Throws `ProviderError`.
 */
export async function download({ url, needsApiKey }: Recording, options: DownloadOptions): Promise<Download> {
  const { agent, apiKey, clock, signal } = options
  const { host } = new URL(url.reveal())
  const { statusCode, headers, body } = await request(url.reveal(), {
    dispatcher: agent,
    headers: {
      'user-agent': `ultravox-relay/${VERSION}`,
      ...(needsApiKey && { 'x-api-key': apiKey.reveal() }),
    },
    signal,
  }).catch((error: unknown) => {
    throw broken(error, host, signal)
  })
  const cancel = () => void body.on('error', () => {}).destroy()
  if (statusCode !== 200) {
    cancel()
    const wait = retryAfterMs(textOf(headers['retry-after']), clock.now())
    throw new ProviderError('provider_failed', `http ${statusCode} from ${host}`, {
      repeat: 'idempotent',
      status: statusCode,
      ...(wait !== undefined && { retryAfterMs: wait }),
    })
  }
  return {
    contentType: textOf(headers['content-type']) ?? 'application/octet-stream',
    bytes: Number(textOf(headers['content-length']) ?? 0),
    chunks: toldOf(body, host, signal),
    cancel,
  }
}

async function* toldOf(chunks: AsyncIterable<Uint8Array>, host: string, signal: AbortSignal) {
  try {
    yield* chunks
  } catch (error) {
    throw broken(error, host, signal)
  }
}

function broken(error: unknown, host: string, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason
  return new ProviderError('provider_failed', describeNetworkError(error, host), { repeat: 'idempotent' })
}

function textOf(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header[0] : header
}
