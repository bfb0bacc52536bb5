import { once } from 'node:events'
import { lstatSync, unlinkSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import type { AdminConfig } from '../config/config.ts'
import { RelayError } from '../domain/errors.ts'
import { hostPort } from '../domain/host-port.ts'
import { listenProblem } from '../domain/listen-error.ts'
import { HEADERS_TOO_LARGE, rawAnswer } from '../domain/raw-answer.ts'
import { setSocketMode } from '../safe-file.ts'

type Listen = AdminConfig['listen']

/** How long requests under way may take once it is closed. */
const GRACE_MS = 2_000
/** Nobody but the owner, until the socket has the mode that it is to have. */
const OWNER_ONLY = 0o177

const TOO_LARGE = {
  status: 431,
  error: 'invalid_request',
  message: 'the request line and the headers are larger than server.maxHeaderSize',
} as const
const NOT_HTTP = { status: 400, error: 'invalid_request', message: 'this is not HTTP' } as const

/** A request that Node could not read. */
export interface UnreadableRequest {
  readonly requestId: string
  readonly status: number
  /** Node's code for the error, such as `HPE_HEADER_OVERFLOW`. */
  readonly problem: string
}

/** The socket that operators ask at, in front of the app of the configuration that holds. */
export class AdminListener {
  readonly listen: Listen
  readonly #server: Server
  #app: FastifyInstance

  /** `onUnreadable` hears of each request that is not HTTP, or has headers that are too large. Throws `listen_failed`. */
  static async open(
    listen: Listen,
    app: FastifyInstance,
    newRequestId: () => string,
    onUnreadable: (request: UnreadableRequest) => void,
  ): Promise<AdminListener> {
    const listener = new AdminListener(listen, app, newRequestId, onUnreadable)
    try {
      await listener.#open()
      return listener
    } catch (error) {
      const message = `the admin listener cannot listen on ${addressOf(listen)}: ${listenProblem(error, 'port' in listen ? listen.port : null)}`
      throw new RelayError('listen_failed', message, { cause: error })
    }
  }

  private constructor(
    listen: Listen,
    app: FastifyInstance,
    newRequestId: () => string,
    onUnreadable: (request: UnreadableRequest) => void,
  ) {
    this.listen = listen
    this.#app = app
    this.#server = createServer((request, response) => this.#app.routing(request, response))
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
      const isTooLarge = error.code === HEADERS_TOO_LARGE
      const requestId = newRequestId()
      // What has broken off, or was never more than a connection, asks for nothing.
      if (socket.writable && error.code !== 'ECONNRESET' && socket.bytesRead > 0) {
        socket.write(rawAnswer(isTooLarge ? TOO_LARGE : NOT_HTTP, requestId))
        const status = isTooLarge ? TOO_LARGE.status : NOT_HTTP.status
        onUnreadable({ requestId, status, problem: error.code ?? 'unknown' })
      }
      socket.destroy()
    })
  }

  /** Such as `127.0.0.1:8081` or `unix:/run/relay/admin.sock`; with the port that was taken for port 0. */
  get address(): string {
    const bound = this.#server.address()
    return 'port' in this.listen
      ? addressOf({ ...this.listen, port: (bound as AddressInfo).port })
      : addressOf(this.listen)
  }

  /**
   * From now on requests are answered by this. `socketMode`: who may connect to a unix socket. `maxHeaderSizeBytes` holds for
   * connections to come.
   */
  use(app: FastifyInstance, socketMode: number, maxHeaderSizeBytes: number): void {
    this.#app = app
    // As in the public listener.
    Object.assign(this.#server, { maxHeaderSize: maxHeaderSizeBytes })
    if ('socketPath' in this.listen) setSocketMode(this.listen.socketPath, socketMode)
  }

  /** Takes no new connections, and gives the requests under way a moment. */
  async close(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    const cut = setTimeout(() => this.#server.closeAllConnections(), GRACE_MS)
    await closed
    clearTimeout(cut)
  }

  async #open(): Promise<void> {
    if ('port' in this.listen) {
      this.#server.listen(this.listen)
    } else {
      const { socketPath } = this.listen
      await removeStale(socketPath)
      // The socket is made in this call, before it returns: at no time may somebody else connect.
      const before = process.umask(OWNER_ONLY)
      this.#server.listen(socketPath)
      process.umask(before)
    }
    await once(this.#server, 'listening')
  }
}

function addressOf(listen: Listen): string {
  if ('socketPath' in listen) return `unix:${listen.socketPath}`
  return hostPort(listen.host, listen.port)
}

/** Removes the socket of a relay that was killed: one on which nobody listens. Whatever else is there stays. */
async function removeStale(path: string): Promise<void> {
  if (!(lstatSync(path, { throwIfNoEntry: false })?.isSocket() ?? false)) return
  const socket = connect(path)
  try {
    await once(socket, 'connect')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ECONNREFUSED') unlinkSync(path)
  } finally {
    socket.destroy()
  }
}
