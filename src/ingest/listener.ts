import { lookup } from 'node:dns/promises'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { errorMessage, RelayError } from '../domain/errors.ts'
import { hostPort } from '../domain/host-port.ts'
import { type AppOptions, createApp } from './app.ts'
import { BodyBudget } from './body-budget.ts'
import { closeGently } from './closing.ts'
import { FamiliarPeers } from './familiar-peers.ts'

/**
 * The public listener: one socket for the whole life of the relay, in front of the app of the configuration that holds.
 * What still comes in on an open connection while closing is taken like any other: the outbox is there until the end.
 */
export class Listener {
  readonly server: Server
  readonly #memory = { familiar: new FamiliarPeers(), bodies: new BodyBudget() }
  readonly #close: () => Promise<void>
  #app: FastifyInstance | undefined

  constructor() {
    this.server = createServer(
      {
        keepAliveTimeout: 10_000,
        requestTimeout: 20_000,
        // requestTimeout alone was seen to leave a slow body alone for up to 90 s.
        headersTimeout: 10_000,
        connectionsCheckingInterval: 1_000,
      },
      (request, response) => this.#app!.routing(request, response),
    )
    // What Node itself cannot read is answered by Fastify, on the server that it believes to have.
    this.server.on('clientError', (error, socket) => this.#app!.server.emit('clientError', error, socket as Socket))
    this.#close = closeGently(this.server)
  }

  /**
   * Makes ready to answer by other options. From the call of what this returns, new requests are; those under way end
   * under the old ones.
   */
  async prepare(options: AppOptions): Promise<() => void> {
    const app = await createApp(options, this.#memory)
    return () => {
      this.#app = app
    }
  }

  /**
   * To be called once there are options to answer by. Gives the address, such as `127.0.0.1:8080`; throws `listen_failed`.
   */
  async listen({ host, port }: { readonly host: string; readonly port: number }): Promise<string> {
    try {
      // A name with several addresses would give several servers, of which a graceful end knows only one.
      const { address } = await lookup(host)
      this.server.listen({ host: address, port })
      await once(this.server, 'listening')
    } catch (error) {
      throw new RelayError('listen_failed', `cannot listen on ${hostPort(host, port)}: ${errorMessage(error)}`, {
        cause: error,
      })
    }
    return hostPort(host, (this.server.address() as AddressInfo).port)
  }

  /** Takes no new connections, answers the requests in flight, and resolves when all connections are closed. */
  close(): Promise<void> {
    return this.#close()
  }
}
