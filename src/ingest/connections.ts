import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { Server as TlsServer } from 'node:https'
import type { Socket } from 'node:net'

/** What a connection is known by. */
type Key = Socket | string

/**
 * How many requests may wait for their answers on one connection. Node hands over at once all that came in at once,
 * however many requests that is, and all other clients wait meanwhile. Senders of webhooks wait for each answer.
 */
const MOST_UNANSWERED = 64

interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
}

interface Connection {
  readonly socket: Socket
  /** Not answered yet. Several where a client does not wait for its answers. */
  readonly exchanges: Set<Exchange>
  /** It had too many of them: its last one says so, and what comes after that is not answered. */
  crowded: boolean
}

/** What is to become of a request: `drop` it where nobody would get the answer. */
export type Turn = 'answer' | 'refuse' | 'drop'

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
      const connection = { socket, exchanges: new Set<Exchange>(), crowded: false }
      this.#open.set(key, connection)
      socket.once('close', () => this.#closed(key, connection))
    })
  }

  /** To be asked of each request before anything else. Whoever is refused is to be told, and its connection to be closed. */
  turnOf(request: IncomingMessage, response: ServerResponse): Turn {
    const { socket } = request
    const key = this.#keyOf(socket)
    const connection = this.#open.get(key)
    // Many were sent at once, and then the connection has broken off; such a socket no longer has an address either.
    if (socket.destroyed || connection === undefined || connection.crowded) return 'drop'
    const { exchanges } = connection
    const exchange = { request, response }
    exchanges.add(exchange)
    response.once('close', () => {
      exchanges.delete(exchange)
      if (this.#open.get(key) !== connection) return
      this.#open.delete(key)
      this.#open.set(key, connection)
    })
    if (exchanges.size <= MOST_UNANSWERED) return 'answer'
    connection.crowded = true
    readNoMore(socket)
    return 'refuse'
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

/**
 * Has Node skip what else has come in on a connection. Only its parser can, by what a request for an upgrade has it do, which
 * is not documented: where that is not there any more, each of those requests is taken apart before it is dropped, at some 10 µs.
 */
function readNoMore(socket: Socket & { parser?: { onIncoming: () => number } | null }): void {
  const SKIP_THE_REST = 2
  if (socket.parser) socket.parser.onIncoming = () => SKIP_THE_REST
}

function addressOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`
}
