import { Agent, type ClientRequestArgs } from 'node:http'
import type { Duplex } from 'node:stream'
import { hostPort } from '../domain/host-port.ts'
import { describeNetworkError, ToldError } from '../domain/network-error.ts'
import { type ConnectionOptions, type Connector, createConnector } from './connector.ts'
import { createDeadlines } from './deadlines.ts'

type Created = (error: Error | null, socket: Duplex) => void

/**
 * Node's agent for requests of other libraries, with connections like those of a pool: never to link-local addresses,
 * and to whichever address of a name accepts first. Each request has a connection of its own, made within `timeoutMs`.
 * `protocol` is `http:` or `https:`.
 */
export class OutgoingAgent extends Agent {
  readonly #protocol: string
  readonly #defaultPort: number
  readonly #connector: Connector

  constructor(protocol: string, timeoutMs: number, options: Pick<ConnectionOptions, 'lookup'> = {}) {
    super({ keepAlive: false })
    this.#protocol = protocol
    this.#defaultPort = protocol === 'https:' ? 443 : 80
    this.#connector = createConnector(createDeadlines(timeoutMs), { ...options, allowLinkLocal: 'never' })
    // Node compares URLs with these two and completes them, although its types do not say so.
    Object.assign(this, { protocol, defaultPort: this.#defaultPort })
  }

  override createConnection(args: ClientRequestArgs, created?: Created): null {
    const hostname = args.host ?? 'localhost'
    const port = Number(args.port ?? this.#defaultPort)
    const host = hostPort(hostname, port)
    this.#connector.connect({ hostname, host, protocol: this.#protocol, port: String(port) }, (...[error, socket]) => {
      if (error === null) return created?.(null, socket)
      const { code = 'ECONNREFUSED' } = error as { code?: string }
      // By the code, the library decides whether to repeat the request.
      const told = Object.assign(new ToldError(describeNetworkError(error, host)), { code })
      ;(created as ((error: Error) => void) | undefined)?.(told)
    })
    return null
  }

  /** Ends all connections, also those still being made. */
  override destroy(): void {
    this.#connector.destroyAll()
    super.destroy()
  }
}
