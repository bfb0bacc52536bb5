import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { Server as TlsServer } from 'node:https'
import type { Socket } from 'node:net'

/** What a connection is known by. */
type Key = Socket | string

interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
}

/** A server's connections, and what is asked on them. */
export class Connections {
  readonly #keyOf: (socket: Socket) => Key
  /** The one on which nothing was answered for longest comes first. */
  readonly #open = new Map<Key, Socket>()
  /** Not answered yet. Several on one connection where a client does not wait for its answers. */
  readonly #exchanges = new Map<Key, readonly Exchange[]>()

  /** To be made before anything answers requests. */
  constructor(server: Server) {
    // Below TLS, a connection and what reads requests from it are two sockets.
    this.#keyOf = server instanceof TlsServer ? addressOf : (socket) => socket
    server.on('connection', (socket: Socket) => {
      const key = this.#keyOf(socket)
      this.#open.set(key, socket)
      socket.once('close', () => {
        if (this.#open.get(key) === socket) this.#open.delete(key)
      })
    })
    server.prependListener('request', (request, response) => {
      const key = this.#keyOf(request.socket)
      this.#exchanges.set(key, [...(this.#exchanges.get(key) ?? []), { request, response }])
      response.once('close', () => this.#answered(key, response))
    })
  }

  get count(): number {
    return this.#open.size
  }

  /** Those that wait for a request or for the rest of one, for longest first. */
  *waiting(): Generator<Socket> {
    for (const [key, socket] of this.#open) if (!socket.destroyed && !this.#isBeingAnswered(key)) yield socket
  }

  /** The answers that are still to be written. */
  *unanswered(): Generator<ServerResponse> {
    for (const exchanges of this.#exchanges.values()) for (const { response } of exchanges) yield response
  }

  #isBeingAnswered(key: Key): boolean {
    return this.#exchanges.get(key)?.some(({ request }) => request.complete) ?? false
  }

  #answered(key: Key, response: ServerResponse): void {
    const left = this.#exchanges.get(key)!.filter((exchange) => exchange.response !== response)
    if (left.length > 0) this.#exchanges.set(key, left)
    else this.#exchanges.delete(key)
    const socket = this.#open.get(key)
    if (socket === undefined) return
    this.#open.delete(key)
    this.#open.set(key, socket)
  }
}

function addressOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`
}
