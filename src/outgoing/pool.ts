import type { Socket } from 'node:net'
import { type buildConnector, Client, type Dispatcher, Pool } from 'undici'
import { type ConnectionOptions, type Connector, createConnector } from './connector.ts'
import type { Deadlines } from './deadlines.ts'
import { DEFAULT_MAX_HEAD_BYTES, filterHeads, type HeadFilter, type HeadLimit } from './head-filter.ts'

/**
 * How old a connection gets. The names of services that move usually have a time to live of 60 s. A new connection a
 * minute costs too little to be measured.
 */
const DEFAULT_MAX_AGE_MS = 60_000

/** By how much of their greatest age connections are retired early at most, so that those made together end apart. */
const SPREAD = 0.2
/** Multiples of the golden ratio, without their whole parts, lie evenly between 0 and 1, however many there are. */
const GOLDEN_RATIO = 0.618
/** How long each connection carries one request only, after a server has sent bytes that belong to no response. */
const REUSE_PAUSE_MS = 10 * 60_000
/** Until a name that could not be resolved is asked for again. */
const ASK_AGAIN_MS = 5_000

export interface PoolOptions extends ConnectionOptions, HeadLimit {
  /** Limits how long a connection may take to be made. */
  readonly deadlines: Deadlines
  /** Most connections at a time. */
  readonly connections: number
  /** Bytes of an answer's body; unlimited where absent. */
  readonly maxResponseBytes?: number
  /** The age at which a connection is replaced, where the host's name can be resolved then. Default: a minute. */
  readonly maxConnectionAgeMs?: number
}

export interface OutgoingPool extends Pick<Connector, 'pendingError' | 'nameWaitMs'> {
  readonly dispatcher: Pool
  /** Ends every request and connection. */
  destroy(): Promise<void>
}

/**
 * Kept-alive connections to one origin: guarded, through a proxy where there is one, and retired at a bounded age. The
 * caller bounds the time of a request: the pool's own timeouts cover neither a slowly dripping body nor a stalled upload,
 * and cost a timer each, so they are off. Redirects are not followed.
 */
export function createPool(origin: string, options: PoolOptions): OutgoingPool {
  const { connections, deadlines, maxResponseBytes, maxConnectionAgeMs = DEFAULT_MAX_AGE_MS } = options
  const connector = createConnector(deadlines, options)
  let made = 0
  const { hostname } = new URL(origin)
  const finds = () => connector.finds(hostname)
  const nextAgeMs = () => maxConnectionAgeMs * (1 - SPREAD * ((made++ * GOLDEN_RATIO) % 1))
  const reuse = { pausedUntil: 0 }
  const dispatcher = new Pool(origin, {
    connections,
    pipelining: 1,
    connect: connector.connect,
    headersTimeout: 0,
    bodyTimeout: 0,
    // Of names and values alone, so the filter's limit comes first. This one is for trailers, which are costly: endless
    // ones of two bytes each took 380 MB with a limit of 512 KiB.
    maxHeaderSize: options.maxHeadBytes ?? DEFAULT_MAX_HEAD_BYTES,
    ...(maxResponseBytes !== undefined && { maxResponseSize: maxResponseBytes }),
    factory: (url, clientOptions) =>
      new PooledClient(url, clientOptions as Client.Options, { nextAgeMs, finds, limit: options, reuse }),
  })
  return {
    dispatcher,
    pendingError: connector.pendingError,
    nameWaitMs: connector.nameWaitMs,
    async destroy() {
      const destroyed = dispatcher.destroy()
      connector.destroyAll()
      await destroyed
    },
  }
}

interface PooledClientOptions {
  readonly nextAgeMs: () => number
  readonly finds: () => Promise<boolean>
  readonly limit: HeadLimit
  /** Shared by all connections of the pool. Until this point of `performance.now()` each carries one request only. */
  readonly reuse: { pausedUntil: number }
}

/**
 * A connection whose responses are filtered (`filterHeads`), and that is replaced once it is too old. It is closed before a
 * request is given to it, when nothing is under way, so no request is lost and the next one goes to wherever the name leads
 * by then. It stays while the name cannot be resolved: a silent name server must not take away connections that work.
 * After stray bytes each request gets a connection of its own, for a server that sends them once does so again, and a
 * request that meets them fails and is sent twice.
 *
 * undici's `clientTtl` does not do: a client that it closes while a request is under way fails those that wait for it, and
 * a pool that is never idle does not retire any.
 */
class PooledClient extends Client {
  readonly #finds: () => Promise<boolean>
  readonly #reuse: { readonly pausedUntil: number }
  #socket: Socket | undefined
  #heads: HeadFilter | undefined
  #retireAt = Number.POSITIVE_INFINITY
  #isFound = false

  constructor(url: string | URL, options: Client.Options, { nextAgeMs, finds, limit, reuse }: PooledClientOptions) {
    const open = options.connect as buildConnector.connector
    super(url, {
      ...options,
      connect: (to, done) =>
        open(to, (...result) => {
          const [error, socket] = result
          if (error === null) {
            this.#socket = socket
            this.#heads = filterHeads(socket, limit, () => {
              reuse.pausedUntil = performance.now() + REUSE_PAUSE_MS
            })
            this.#isFound = false
            this.#retireAt = performance.now() + nextAgeMs()
          }
          done(...result)
        }),
    })
    this.#finds = finds
    this.#reuse = reuse
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const now = performance.now()
    if (now >= this.#retireAt) this.#retire()
    const sent = now < this.#reuse.pausedUntil ? { ...options, reset: true } : options
    return super.dispatch(sent, new FilteredExchange(handler, () => this.#heads!))
  }

  #retire(): void {
    if (this.#isFound && this.stats.size === 0) {
      this.#retireAt = Number.POSITIVE_INFINITY
      this.#socket?.destroy()
    } else if (!this.#isFound) {
      this.#retireAt = performance.now() + ASK_AGAIN_MS
      const socket = this.#socket
      void this.#finds().then((isFound) => {
        // Meanwhile there may be another connection.
        if (!isFound || this.#socket !== socket) return
        this.#isFound = true
        this.#retireAt = performance.now()
      })
    }
  }
}

/**
 * Tells the filter when a response begins, and fails the exchange where the filter found that its body cannot be read. A
 * pool converts every handler to undici's older interface before a client gets it, so this one has that interface too.
 */
class FilteredExchange implements Dispatcher.DispatchHandler {
  readonly #handler: Dispatcher.DispatchHandler
  readonly #filter: () => HeadFilter
  #heads: HeadFilter | undefined
  #abort: ((error: Error) => void) | undefined

  constructor(handler: Dispatcher.DispatchHandler, filter: () => HeadFilter) {
    this.#handler = handler
    this.#filter = filter
  }

  onConnect(abort: (error?: Error) => void): void {
    this.#abort = abort
    this.#heads = this.#filter()
    this.#heads.expect()
    this.#handler.onConnect!(abort)
  }

  onResponseStarted(): void {
    this.#handler.onResponseStarted?.()
  }

  onHeaders(...head: Parameters<NonNullable<Dispatcher.DispatchHandler['onHeaders']>>): boolean {
    const goesOn = this.#handler.onHeaders!(...head)
    const problem = this.#heads!.problem
    if (problem !== null) this.#abort!(problem)
    return goesOn
  }

  onData(chunk: Buffer): boolean {
    return this.#handler.onData!(chunk)
  }

  onComplete(trailers: string[] | null): void {
    this.#heads!.ended()
    this.#handler.onComplete!(trailers)
  }

  onError(error: Error): void {
    this.#handler.onError!(error)
  }
}
