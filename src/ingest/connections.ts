import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { Server as TlsServer } from 'node:https'
import type { Socket } from 'node:net'

/** What a connection is known by. */
type Key = Socket | string

interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
}

interface Connection {
  readonly socket: Socket
  /** Not answered yet. Several where a client does not wait for its answers. */
  readonly exchanges: Set<Exchange>
}

/** A server's connections, and what is asked on them. */
export class Connections {
  readonly #keyOf: (socket: Socket) => Key
  /** The one on which nothing was answered for longest comes first. */
  readonly #open = new Map<Key, Connection>()

  /** To be made before anything answers requests. */
  constructor(server: Server) {
    // Below TLS, a connection and what reads requests from it are two sockets.
    this.#keyOf = server instanceof TlsServer ? addressOf : (socket) => socket
    server.on('connection', (socket: Socket) => {
      const key = this.#keyOf(socket)
      const connection = { socket, exchanges: new Set<Exchange>() }
      this.#open.set(key, connection)
      socket.once('close', () => this.#closed(key, connection))
    })
    server.prependListener('request', (request, response) => {
      const key = this.#keyOf(request.socket)
      const connection = this.#open.get(key)
      if (connection === undefined) return
      const exchange = { request, response }
      connection.exchanges.add(exchange)
      response.once('close', () => {
        connection.exchanges.delete(exchange)
        if (this.#open.get(key) !== connection) return
        this.#open.delete(key)
        this.#open.set(key, connection)
      })
    })
  }

  get count(): number {
    return this.#open.size
  }

  /** Those that wait for a request or for the rest of one, for longest first. */
  *waiting(): Generator<Socket> {
    for (const { socket, exchanges } of this.#open.values()) {
      const isAnswering = [...exchanges].some(({ request }) => request.complete)
      if (!socket.destroyed && !isAnswering) yield socket
    }
  }

  /** The answers that are still to be written. */
  *unanswered(): Generator<ServerResponse> {
    for (const { exchanges } of this.#open.values()) for (const { response } of exchanges) yield response
  }

  /**
   * Node closes the answer that is being written with its connection, but not those whose turn has not come: whoever keeps
   * something until an answer is closed would keep it for ever.
   */
  #closed(key: Key, connection: Connection): void {
    if (this.#open.get(key) === connection) this.#open.delete(key)
    for (const { response } of connection.exchanges) if (response.socket === null) response.emit('close')
  }
}

function addressOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`
}
