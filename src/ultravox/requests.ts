import { setTimeout as sleep } from 'node:timers/promises'
import pRetry from 'p-retry'
import { Pool } from 'undici'
import { apiKeyProblem } from '../domain/api-key.ts'
import { type RetryPolicy, retryDelayMs } from '../domain/backoff.ts'
import { type Clock, type Random, systemClock } from '../domain/clock.ts'
import { RelayError } from '../domain/errors.ts'
import { createRate } from '../domain/rate-limit.ts'
import type { Secret } from '../domain/secret.ts'
import { type ApiAnswer, type ApiRequest, type ExchangeWay, exchange } from './exchange.ts'
import { withLinkedSignal } from './linked-signal.ts'
import { ProviderError } from './provider-error.ts'

/** Waits; rejects with the signal's reason when that aborts. Injected, so that tests need not. */
export type Pause = (ms: number, signal: AbortSignal) => Promise<void>

export interface RequestsOptions {
  /** Where the API is, as `https://api.ultravox.ai`. A path in it is a prefix of all paths. */
  readonly baseUrl: string
  readonly apiKey: Secret
  readonly random: Random
  readonly clock?: Clock
  readonly pause?: Pause
  /** Once it aborts, no request goes on or starts. */
  readonly signal?: AbortSignal
  /** Starts per second, at least 1, as many at once after a quiet while. The account's limit is 500, that of a key 200. */
  readonly requestsPerSecond?: number
  /** For each try. */
  readonly timeoutMs?: number
  readonly maxAnswerBytes?: number
}

export interface Requests {
  /** The base URL with no slash at its end. */
  readonly base: URL
  /** Sends a request, again where that is safe. Throws `ProviderError`, or the reason of an aborted signal. */
  send(request: ApiRequest, signal?: AbortSignal): Promise<ApiAnswer>
  close(): Promise<void>
}

/** Half a second, doubling, for some 15 s in all; a Retry-After may ask for a minute each time, and no more. */
const RETRY: RetryPolicy & { maxAttempts: number } = {
  initialDelayMs: 500,
  factor: 2,
  maxDelayMs: 60_000,
  jitter: 0.5,
  giveUpAfterMs: null,
  maxAttempts: 6,
}
/** The API is asked page by page, by few at a time. */
const CONNECTIONS = 4
const DEFAULT_TIMEOUT_MS = 30_000
const DEFAULT_MAX_ANSWER_BYTES = 64 * 1024 * 1024

const pauseForReal: Pause = (ms, signal) => sleep(ms, undefined, { signal })

/** Requests to the provider: rationed, bounded in time and size, repeated where that is safe, with the key on each. */
export function createRequests(options: RequestsOptions): Requests {
  const { apiKey, random, clock = systemClock, pause = pauseForReal, requestsPerSecond = 20 } = options
  const { timeoutMs = DEFAULT_TIMEOUT_MS, maxAnswerBytes = DEFAULT_MAX_ANSWER_BYTES } = options
  const base = parseBase(options.baseUrl)
  checkKey(apiKey)
  const closing = new AbortController()
  const rate = createRate({ max: requestsPerSecond, perMs: 1_000 })
  const pool = new Pool(base.origin, {
    connections: CONNECTIONS,
    pipelining: 1,
    maxResponseSize: maxAnswerBytes,
    connect: { timeout: timeoutMs },
    // The deadline of an exchange covers these, and a dripping body too.
    headersTimeout: 0,
    bodyTimeout: 0,
  })
  const way: ExchangeWay = { pool, host: base.host, apiKey, timeoutMs, clock }

  /** Whoever waits looks again after the wait: another may have come first. */
  async function takeTurn(signal: AbortSignal): Promise<void> {
    for (let wait = rate.waitMs(clock.now()); wait > 0; wait = rate.waitMs(clock.now())) await pause(wait, signal)
    rate.spend(clock.now())
  }

  async function tryUntilDone(request: ApiRequest, signal: AbortSignal): Promise<ApiAnswer> {
    let tries = 0
    const once = async () => {
      await takeTurn(signal)
      tries += 1
      return exchange(way, request, signal)
    }
    try {
      return await pRetry(once, {
        retries: RETRY.maxAttempts - 1,
        // The pauses are ours: with Retry-After, and with the injected chance.
        minTimeout: 0,
        signal,
        shouldRetry: async ({ error, attemptNumber }) => {
          if (!(error instanceof ProviderError) || !mayRepeat(request, error)) return false
          await pause(retryDelayMs(RETRY, attemptNumber, random, error.retryAfterMs), signal)
          return true
        },
      })
    } catch (error) {
      throw error instanceof ProviderError ? withOutlook(error, request, tries) : error
    }
  }

  return {
    base,
    send(request, signal) {
      return withLinkedSignal([closing.signal, options.signal, signal], (linked) => tryUntilDone(request, linked))
    },
    async close() {
      closing.abort(new ProviderError('provider_failed', 'the client was closed', { repeat: 'never' }))
      await pool.destroy()
    },
  }
}

/**
 * A GET, PATCH or DELETE sent twice has the effect of one (a patch of ours holds whole values). A POST creates, so it is
 * sent again only where the provider surely did nothing.
 */
function mayRepeat(request: ApiRequest, error: ProviderError): boolean {
  return error.repeat === 'always' || (error.repeat === 'idempotent' && request.method !== 'POST')
}

/** The error of the last try, with what whoever reads it must know of all of them. */
function withOutlook(error: ProviderError, request: ApiRequest, tries: number): ProviderError {
  const unknown = error.repeat === 'idempotent' && request.method === 'POST'
  const outlook = [
    ...(tries > 1 ? [`tried ${tries} times`] : []),
    ...(unknown ? ['it may have been done nevertheless: look before doing it again'] : []),
  ]
  const { code, message, status, retryAfterMs, repeat } = error
  if (outlook.length === 0) return error
  return new ProviderError(code as 'provider_failed', `${message}; ${outlook.join('; ')}`, {
    repeat,
    ...(status !== undefined && { status }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  })
}

function parseBase(text: string): URL {
  if (!URL.canParse(text) || !/^https?:/i.test(text)) {
    throw new RelayError('config_invalid', 'the base URL of the Ultravox API must start with https:// or http://')
  }
  const url = new URL(text)
  url.pathname = url.pathname.replace(/\/+$/, '')
  url.search = ''
  url.hash = ''
  return url
}

/** undici would refuse it with each request; here it is told once, and why. */
function checkKey(apiKey: Secret): void {
  const problem = apiKeyProblem(apiKey.reveal())
  if (problem !== undefined) throw new RelayError('config_invalid', `the API key ${problem}: check ultravox.apiKey`)
}
