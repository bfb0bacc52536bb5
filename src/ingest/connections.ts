import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { Server as TlsServer } from 'node:https'
import type { Socket } from 'node:net'
import { type Peer, peerAt } from './peer.ts'
import { Shares } from './shares.ts'

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
  /** As the socket reported it when it was accepted: once it is reset, it no longer does. */
  readonly peer: Peer
  /** Of a proxy, or of a peer that sent a verified event. */
  trusted: boolean
  /** Whose share it counts in: its peer's, or during an exchange the client's that the proxy named. */
  network: string
  /** Not answered yet. Several where a client does not wait for its answers. */
  readonly exchanges: Set<Exchange>
  /** It had too many of them: its last one says so, and what comes after that is not answered. */
  crowded: boolean
}

export interface ConnectionOptions {
  /** The most connections at once. One network that is not trusted may have half of them. */
  readonly most: number
  /** Whether an address is a reverse proxy's, behind which there are many clients. */
  readonly isProxy: (address: string) => boolean
  /** Whether an address is known for verified events. */
  readonly isTrusted: (address: string) => boolean
}

/** What is to become of a request: `drop` it where nobody would get the answer. */
export type Turn = 'answer' | 'refuse' | 'drop'

/**
 * A server's connections, what is asked on them, and their bound. One too many is made room for, since a bound that turned away
 * the newest would let any client that opens that many lock out the others. The connection that is closed belongs to
 * the network that has the most, and of those of this network it has waited longest for a request, for the rest of one, or for
 * its client to read the answer. Connections of proxies and of trusted peers are closed only when there are no others.
 */
export class Connections {
  readonly #options: ConnectionOptions
  readonly #bySocket = new WeakMap<Socket, Connection>()
  readonly #open = new Set<Connection>()
  readonly #strangers = new Shares<Connection>()
  readonly #trusted = new Shares<Connection>()

  /** To be made before anything answers requests. */
  constructor(server: Server, options: ConnectionOptions) {
    this.#options = options
    const secured = server instanceof TlsServer
    // Below TLS, a connection and what reads requests from it are two sockets, with nothing in common but their address.
    const handshaking = new Map<string, Connection>()
    server.on('connection', (socket: Socket) => {
      const peer = socket.remoteAddress === undefined ? null : peerAt(socket.remoteAddress)
      // It was reset before it was accepted.
      if (peer === null) return socket.destroy()
      const connection = this.#add(socket, peer)
      if (!secured) return
      const key = addressOf(socket)
      handshaking.set(key, connection)
      socket.once('close', () => {
        if (handshaking.get(key) === connection) handshaking.delete(key)
      })
    })
    server.on('secureConnection', (socket: Socket) => {
      const connection = handshaking.get(addressOf(socket))
      if (connection === undefined) return socket.destroy()
      this.#bySocket.set(socket, connection)
    })
  }

  /** To be asked of each request before anything else. Whoever is refused is to be told, and its connection to be closed. */
  turnOf(request: IncomingMessage, response: ServerResponse): Turn {
    const { socket } = request
    const connection = this.#bySocket.get(socket)
    // Many were sent at once, and then the connection has broken off.
    if (socket.destroyed || connection === undefined || connection.crowded) return 'drop'
    const { exchanges } = connection
    const exchange = { request, response }
    exchanges.add(exchange)
    response.once('close', () => {
      exchanges.delete(exchange)
      if (!this.#open.has(connection)) return
      if (exchanges.size === 0) this.#count(connection, connection.peer.network)
      else this.#sharesOf(connection).renew(connection.network, connection)
    })
    if (exchanges.size <= MOST_UNANSWERED) return 'answer'
    connection.crowded = true
    readNoMore(socket)
    return 'refuse'
  }

  /** Who is at the other end of a connection: the client, or a proxy. Undefined for sockets that were never accepted. */
  peerOf(socket: Socket): Peer | undefined {
    return this.#bySocket.get(socket)?.peer
  }

  /** Counts a proxy's connection as its client's until the requests on it are answered. */
  attribute(socket: Socket, client: Peer): void {
    const connection = this.#bySocket.get(socket)
    if (connection === undefined || connection.network === client.network || !this.#open.has(connection)) return
    this.#count(connection, client.network)
    this.#bound(connection)
  }

  /** Prefers a connection from now on: a verified event came in on it. */
  trust(socket: Socket): void {
    const connection = this.#bySocket.get(socket)
    if (connection === undefined || connection.trusted || !this.#open.has(connection)) return
    this.#strangers.delete(connection.network, connection)
    connection.trusted = true
    this.#trusted.add(connection.network, connection)
  }

  get count(): number {
    return this.#open.size
  }

  /** The sockets that wait for a request, for the rest of one, or for their client to read an answer. */
  *waiting(): Generator<Socket> {
    for (const connection of this.#open) if (isWaiting(connection)) yield connection.socket
  }

  /** The answers that are still to be written. */
  *unanswered(): Generator<ServerResponse> {
    for (const { exchanges } of this.#open) for (const { response } of exchanges) yield response
  }

  #add(socket: Socket, peer: Peer): Connection {
    const { isProxy, isTrusted } = this.#options
    const trusted = isProxy(peer.address) || isTrusted(peer.address)
    const connection = { socket, peer, trusted, network: peer.network, exchanges: new Set<Exchange>(), crowded: false }
    this.#open.add(connection)
    this.#bySocket.set(socket, connection)
    this.#sharesOf(connection).add(peer.network, connection)
    socket.once('close', () => this.#closed(connection))
    this.#bound(connection)
    return connection
  }

  #bound({ network, trusted, peer }: Connection): void {
    const { most } = this.#options
    const ownShare = trusted && network === peer.network
    const shares = trusted ? this.#trusted : this.#strangers
    if (!ownShare && shares.of(network).size > most / 2) this.#evict([shares.of(network)])
    if (this.#open.size <= most) return
    if (!this.#evict(this.#strangers.byNetwork())) this.#evict(this.#trusted.byNetwork())
  }

  #evict(groups: Iterable<Iterable<Connection>>): boolean {
    for (const group of groups) {
      for (const connection of group) {
        if (!isWaiting(connection)) continue
        this.#remove(connection)
        connection.socket.destroy()
        return true
      }
    }
    return false
  }

  #count(connection: Connection, network: string): void {
    const shares = this.#sharesOf(connection)
    shares.delete(connection.network, connection)
    connection.network = network
    shares.add(network, connection)
  }

  #sharesOf({ trusted }: Connection): Shares<Connection> {
    return trusted ? this.#trusted : this.#strangers
  }

  #remove(connection: Connection): void {
    this.#open.delete(connection)
    this.#sharesOf(connection).delete(connection.network, connection)
  }

  /**
   * Node closes the answer that is being written with its connection, but not those whose turn has not come: whoever keeps
   * something until an answer is closed would keep it for ever.
   */
  #closed(connection: Connection): void {
    this.#remove(connection)
    for (const { response } of connection.exchanges) if (response.socket === null) response.emit('close')
  }
}

/** Whether it is the client's turn. An answer that the client does not read stays unsent. */
function isWaiting({ socket, exchanges }: Connection): boolean {
  if (socket.destroyed) return false
  for (const { request, response } of exchanges) if (request.complete && !response.writableEnded) return false
  return true
}

/**
 * Has Node skip what else has come in on a connection. Only its parser can, by what a request for an upgrade has it do, which
 * is not documented: where that is not there any more, each of those requests is taken apart before it is dropped, at some 10 µs.
 */
function readNoMore(socket: Socket & { parser?: { onIncoming: () => number } | null }): void {
  const SKIP_THE_REST = 2
  if (socket.parser) socket.parser.onIncoming = () => SKIP_THE_REST
}

/**
 * Reads nothing more from a connection whose last answer is under way. What was read at once is parsed to its end all the same; where
 * it is in chunks of a byte, 64 KB took 170 ms to hand over and drop. The parser drops it itself once it believes the request gone,
 * which is not documented: without it, that time is lost.
 */
export function stopReading(socket: Socket & { parser?: { incoming: unknown; pause?: () => void } | null }): void {
  socket.pause()
  if (!socket.parser) return
  socket.parser.incoming = null
  socket.parser.pause?.()
}

function addressOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`
}
