import type { Socket } from 'node:net'
import { type buildConnector, Client, type Dispatcher, Pool } from 'undici'
import { type ConnectionOptions, type Connector, createConnector } from './connector.ts'
import type { Deadlines } from './deadlines.ts'

/**
 * How old a connection gets. The names of services that move usually have a time to live of 60 s. A new connection a
 * minute costs too little to be measured.
 */
const DEFAULT_MAX_AGE_MS = 60_000

/** By how much of their greatest age connections are retired early at most, so that those made together end apart. */
const SPREAD = 0.2
/** Multiples of the golden ratio, without their whole parts, lie evenly between 0 and 1, however many there are. */
const GOLDEN_RATIO = 0.618
/** Until a name that could not be resolved is asked for again. */
const ASK_AGAIN_MS = 5_000

export interface PoolOptions extends ConnectionOptions {
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
  const dispatcher = new Pool(origin, {
    connections,
    pipelining: 1,
    connect: connector.connect,
    headersTimeout: 0,
    bodyTimeout: 0,
    ...(maxResponseBytes !== undefined && { maxResponseSize: maxResponseBytes }),
    factory: (url, clientOptions) => new RetiringClient(url, clientOptions as Client.Options, nextAgeMs, finds),
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

/**
 * A connection that is replaced once it is too old. It is closed before a request is given to it, when nothing is under
 * way, so no request is lost and the next one goes to wherever the name leads by then. It stays while the name cannot be
 * resolved: a silent name server must not take away connections that work.
 *
 * undici's `clientTtl` does not do: a client that it closes while a request is under way fails those that wait for it, and
 * a pool that is never idle does not retire any.
 */
class RetiringClient extends Client {
  readonly #finds: () => Promise<boolean>
  #socket: Socket | undefined
  #retireAt = Number.POSITIVE_INFINITY
  #isFound = false

  constructor(url: string | URL, options: Client.Options, nextAgeMs: () => number, finds: () => Promise<boolean>) {
    const open = options.connect as buildConnector.connector
    super(url, {
      ...options,
      connect: (to, done) =>
        open(to, (...result) => {
          const [error, socket] = result
          if (error === null) {
            this.#socket = socket
            this.#isFound = false
            this.#retireAt = performance.now() + nextAgeMs()
          }
          done(...result)
        }),
    })
    this.#finds = finds
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    if (performance.now() >= this.#retireAt) this.#retire()
    return super.dispatch(options, handler)
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
