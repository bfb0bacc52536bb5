import type { IncomingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'
import type { Dispatcher } from 'undici'
import { describeNetworkError, isResolverFailure } from '../domain/network-error.ts'
import type { Outcome } from '../domain/outcome.ts'
import { type WaitHints, waitHintsOf } from '../domain/retry-after.ts'
import type { ConnectionOptions } from '../outgoing/connector.ts'
import { createDeadlines } from '../outgoing/deadlines.ts'
import type { HeadLimit } from '../outgoing/head-filter.ts'
import { createPool } from '../outgoing/pool.ts'
import { answerText } from './answer-text.ts'
import { redirectText } from './redirect.ts'

/** Bytes of an answer's body that are kept. */
const KEPT_BYTES = 8 * 1024
/** Bytes of an answer's body that are read. Up to here that costs less than the new connection that is needed otherwise. */
const READ_BYTES = 256 * 1024
/** The share of the timeout from which on its end is put down to the resolver that used it up. */
const NAME_SHARE = 0.25

/** An answer whose head is complete. What it means is for the target to say. */
export interface Answer {
  readonly kind: 'answered'
  readonly status: number
  /** The headers by which it asks for a pause; undefined where it has none. */
  readonly waitHints: WaitHints | undefined
  readonly contentType: string | undefined
  /** Of a redirect, where it leads, see `redirectText`. */
  readonly redirect: string | undefined
  /** The start of the body as text; undefined where it was empty. */
  readonly response: string | undefined
  /** Why the body was not read to its end, or did not end as it should have. */
  readonly note?: string
}

export type ExchangeResult = Answer | Extract<Outcome, { kind: 'failed' | 'interrupted' }>

export interface HttpExchanges {
  /**
   * Sends one request with these headers (name, value, name, value, …) and waits for its answer. Never throws. The length
   * of a stream has to be among the headers. Calls `onSent` when there is a connection, before the first byte is written.
   */
  send(
    headers: string[],
    body: Uint8Array | Readable,
    signal: AbortSignal,
    onSent?: () => void,
  ): Promise<ExchangeResult>
  close(): Promise<void>
}

/** Where and how requests go out. */
export interface ExchangeOptions extends ConnectionOptions, HeadLimit {
  readonly url: URL
  readonly method: 'POST' | 'PUT' | 'PATCH'
  /**
   * From the connect to the last byte of the answer. This holds for a late body even where the head decides: some servers
   * send the head first, go on working, and give up the work when the connection is closed.
   */
  readonly timeoutMs: number
  readonly concurrency: number
  /**
   * Whether a 2xx counts only with a complete body. Otherwise the head of the answer decides, and what is wrong after it
   * is a note. The head of any other status always does.
   */
  readonly needsBody?: boolean
  /** The age at which a connection is replaced. Default: a minute. */
  readonly maxConnectionAgeMs?: number
}

/**
 * Requests to one URL over a pool of kept-alive connections. `Pool.dispatch` is the fastest way measured (fetch takes
 * ten times as long), and it follows no redirect.
 */
export function createHttpExchanges(options: ExchangeOptions): HttpExchanges {
  const { url, method, timeoutMs, concurrency, needsBody = false } = options
  const deadlines = createDeadlines(timeoutMs)
  const pool = createPool(url.origin, { ...options, deadlines, connections: concurrency })
  const path = `${url.pathname}${url.search}`
  /** What errors name as the other side. */
  const peer = options.socketPath ?? url.host

  return {
    send(headers, body, signal, onSent = () => {}) {
      if (signal.aborted) return Promise.resolve({ kind: 'interrupted' })
      const startedAt = performance.now()
      const late = (isWaiting: boolean): Late => {
        const error = isWaiting ? pool.pendingError() : null
        if (error !== null && isResolverFailure(error))
          return { error: describeNetworkError(error, peer), unsent: true }
        const story =
          error === null ? `no complete answer within ${timeoutMs / 1000}s` : describeNetworkError(error, peer)
        const nameMs = pool.nameWaitMs(startedAt)
        if (nameMs < timeoutMs * NAME_SHARE) return { error: `timeout: ${story}`, unsent: false }
        return { error: `timeout: ${story}; resolving the name took ${(nameMs / 1000).toFixed(1)}s`, unsent: true }
      }
      return new Promise((resolve) => {
        const settled = (result: ExchangeResult) => {
          cancelDeadline()
          signal.removeEventListener('abort', interrupt)
          resolve(result)
        }
        const exchange = new Exchange(url, peer, needsBody, onSent, settled)
        const interrupt = () => exchange.cut({ kind: 'interrupted' }, 'the attempt was interrupted')
        const cancelDeadline = deadlines.start(() => exchange.cutAtDeadline(late))
        signal.addEventListener('abort', interrupt)
        pool.dispatcher.dispatch({ path, method, headers, body }, exchange)
      })
    },
    close: () => pool.destroy(),
  }
}

/** Why there is no answer in time. */
interface Late {
  readonly error: string
  /** Whether that says nothing about the target. */
  readonly unsent: boolean
}

/** One request and its answer, as undici reports them. Settles once; whatever undici reports afterwards changes nothing. */
class Exchange implements Dispatcher.DispatchHandler {
  readonly #url: URL
  readonly #host: string
  readonly #needsBody: boolean
  readonly #onSent: () => void
  readonly #settled: (result: ExchangeResult) => void
  #done = false
  #controller: Dispatcher.DispatchController | undefined
  #status: number | undefined
  #waitHints: WaitHints | undefined
  #contentType: string | undefined
  #contentEncoding: string | undefined
  #redirect: string | undefined
  #read = 0
  #kept: Buffer[] = []

  constructor(
    url: URL,
    host: string,
    needsBody: boolean,
    onSent: () => void,
    settled: (result: ExchangeResult) => void,
  ) {
    this.#url = url
    this.#host = host
    this.#needsBody = needsBody
    this.#onSent = onSent
    this.#settled = settled
  }

  /**
   * Ends the exchange and its connection, which cannot be used for anything else in the middle of an answer. `result`
   * counts unless the head of the answer is there and decides; `why` then goes into the note.
   */
  cut(result: ExchangeResult, why: string): void {
    this.#settle(this.#decided(why) ?? result)
    this.#abort()
  }

  #abort(): void {
    this.#controller?.abort(new Error('cut'))
  }

  /** `late` says why, knowing whether the request still waits for a connection. */
  cutAtDeadline(late: (isWaiting: boolean) => Late): void {
    const { error, unsent } = late(this.#controller === undefined)
    // A request that never got a connection cannot have been worked on.
    this.cut(this.#failed(error, unsent, !unsent && this.#controller !== undefined), error)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // undici cannot take back a request that waits for a connection. If it was cut meanwhile, this stops it before a
    // byte is written.
    if (this.#done) {
      controller.abort(new Error('cut'))
      return
    }
    this.#controller = controller
    this.#onSent()
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    // Not a status; undici fails the exchange next.
    if (status < 200) return
    this.#status = status
    this.#waitHints = waitHintsOf(headers)
    this.#contentType = headers['content-type']
    this.#contentEncoding = headers['content-encoding']
    if (status >= 300 && status < 400) this.#redirect = redirectText(headers.location, this.#url)
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#read < KEPT_BYTES) this.#kept.push(chunk.subarray(0, KEPT_BYTES - this.#read))
    this.#read += chunk.length
    if (this.#read <= READ_BYTES) return
    // Nothing is wrong with a long body, so that there is nothing to note.
    this.#settle(this.#answer())
    this.#abort()
  }

  onResponseEnd(): void {
    this.#settle(this.#answer())
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    if (this.#done) return
    const story = describeNetworkError(error, this.#host)
    this.#settle(this.#decided(story) ?? this.#failed(story, isResolverFailure(error)))
  }

  #failed(error: string, unsent: boolean, timedOut = false): ExchangeResult {
    const response = this.#text()
    return {
      kind: 'failed',
      error,
      ...(unsent && { unsent }),
      ...(timedOut && { timedOut }),
      ...(this.#status !== undefined && { status: this.#status }),
      ...(response !== undefined && { response }),
    }
  }

  #settle(result: ExchangeResult): void {
    if (this.#done) return
    this.#done = true
    this.#settled(result)
  }

  #headDecides(): boolean {
    return this.#status !== undefined && (!this.#needsBody || this.#status >= 300)
  }

  /** The answer as far as it is there; undefined where its head is missing or does not decide. */
  #decided(why: string): Answer | undefined {
    return this.#headDecides() ? this.#answer(why) : undefined
  }

  /** `why`: the body was not read to its end. */
  #answer(why?: string): Answer {
    return {
      kind: 'answered',
      status: this.#status!,
      waitHints: this.#waitHints,
      contentType: this.#contentType,
      redirect: this.#redirect,
      response: this.#text(),
      ...(why !== undefined && { note: `the body of the answer was not read to its end: ${why}` }),
    }
  }

  #text(): string | undefined {
    if (this.#read === 0) return undefined
    const body = { bytes: Buffer.concat(this.#kept), isCut: this.#read > KEPT_BYTES }
    return answerText({ ...body, contentType: this.#contentType, contentEncoding: this.#contentEncoding }, KEPT_BYTES)
  }
}
