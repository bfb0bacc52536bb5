import pRetry from 'p-retry'
import { apiKeyProblem } from '../domain/api-key.ts'
import { type RetryPolicy, retryDelayMs } from '../domain/backoff.ts'
import { type Clock, type Random, systemClock } from '../domain/clock.ts'
import { RelayError } from '../domain/errors.ts'
import type { Secret } from '../domain/secret.ts'
import type { ConnectionOptions } from '../outgoing/connector.ts'
import { createDeadlines } from '../outgoing/deadlines.ts'
import { createPool } from '../outgoing/pool.ts'
import { type ApiAnswer, type ApiRequest, type ExchangeWay, exchange } from './exchange.ts'
import { withLinkedSignal } from './linked-signal.ts'
import { ProviderError } from './provider-error.ts'
import { type Pause, type RequestGate, RequestGates, realPause } from './request-gate.ts'

/** Where the API is, and the way there. */
export interface ApiAccess extends Pick<ConnectionOptions, 'proxy' | 'tls' | 'lookup'> {
  /** As `https://api.ultravox.ai`. A path in it is a prefix of all paths. */
  readonly baseUrl: string
  readonly apiKey: Secret
  /** Starts per second, at least 1, as many at once after a quiet while. The account's limit is 500, that of a key 200. */
  readonly requestsPerSecond?: number
}

export interface RequestsOptions extends ApiAccess {
  readonly random: Random
  readonly clock?: Clock
  readonly pause?: Pause
  /** Once it aborts, no request goes on or starts. */
  readonly signal?: AbortSignal
  /** Where requests with the same key are rationed together. Absent: those of this client alone. */
  readonly gates?: RequestGates
  /** For each try. */
  readonly timeoutMs?: number
  readonly maxAnswerBytes?: number
}

export interface Requests {
  /** The base URL with no slash at its end. */
  readonly base: URL
  /** Rations requests with its key. */
  readonly gate: RequestGate
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
/** The share of a request's time for its connection: one that takes longer is reported as that, and is safe to repeat. */
const CONNECT_SHARE = 0.9
const DEFAULT_REQUESTS_PER_SECOND = 20
const DEFAULT_MAX_ANSWER_BYTES = 64 * 1024 * 1024

/** Requests to the provider: rationed, bounded in time and size, repeated where that is safe, with the key on each. */
export function createRequests(options: RequestsOptions): Requests {
  const { apiKey, random, clock = systemClock, pause = realPause } = options
  const { timeoutMs = DEFAULT_TIMEOUT_MS, maxAnswerBytes = DEFAULT_MAX_ANSWER_BYTES } = options
  const base = parseBase(options.baseUrl)
  checkKey(apiKey)
  const closing = new AbortController()
  const gate = gateOf(base, options)
  const pool = createPool(base.origin, {
    ...options,
    allowLinkLocal: 'never',
    connections: CONNECTIONS,
    deadlines: createDeadlines(timeoutMs * CONNECT_SHARE),
    maxResponseBytes: maxAnswerBytes,
  })
  const way: ExchangeWay = { dispatcher: pool.dispatcher, host: base.host, apiKey, timeoutMs, clock }

  async function tryUntilDone(request: ApiRequest, signal: AbortSignal): Promise<ApiAnswer> {
    let tries = 0
    const once = async () => {
      await gate.pass(clock, pause, signal)
      tries += 1
      return await exchange(way, request, signal).catch((error: unknown) => {
        throw closingGate(gate, error, clock)
      })
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
    gate,
    send(request, signal) {
      return withLinkedSignal([closing.signal, options.signal, signal], (linked) => tryUntilDone(request, linked))
    },
    async close() {
      closing.abort(new ProviderError('provider_failed', 'the client was closed', { repeat: 'never' }))
      await pool.destroy()
    },
  }
}

function gateOf(base: URL, { apiKey, gates = new RequestGates(), requestsPerSecond }: RequestsOptions): RequestGate {
  return gates.of(base.origin, apiKey, requestsPerSecond ?? DEFAULT_REQUESTS_PER_SECOND)
}

/** Where the provider says for how long it is asked too often, all that use the key wait for so long. Returns the error. */
export function closingGate(gate: RequestGate, error: unknown, clock: Clock): unknown {
  if (error instanceof ProviderError && error.status === 429 && error.retryAfterMs !== undefined) {
    gate.close(Math.min(error.retryAfterMs, RETRY.maxDelayMs), clock)
  }
  return error
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
  const { code, message, status, retryAfterMs, repeat, unusable } = error
  if (outlook.length === 0) return error
  return new ProviderError(code as 'provider_failed', `${message}; ${outlook.join('; ')}`, {
    repeat,
    unusable,
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
