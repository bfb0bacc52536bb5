import { once } from 'node:events'
import { lstatSync, unlinkSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import type { FastifyInstance } from 'fastify'
import type { AdminConfig } from '../config/config.ts'
import { RelayError } from '../domain/errors.ts'
import { hostPort } from '../domain/host-port.ts'
import { listenProblem } from '../domain/listen-error.ts'
import { setSocketMode } from '../safe-file.ts'

type Listen = AdminConfig['listen']

/** How long requests under way may take once it is closed. */
const GRACE_MS = 2_000
/** Nobody but the owner, until the socket has the mode that it is to have. */
const OWNER_ONLY = 0o177

/** The socket that operators ask at, in front of the app of the configuration that holds. */
export class AdminListener {
  readonly listen: Listen
  readonly #server: Server
  #app: FastifyInstance

  /** Throws `listen_failed`. */
  static async open(listen: Listen, app: FastifyInstance): Promise<AdminListener> {
    const listener = new AdminListener(listen, app)
    try {
      await listener.#open()
      return listener
    } catch (error) {
      const message = `the admin listener cannot listen on ${addressOf(listen)}: ${listenProblem(error, 'port' in listen ? listen.port : null)}`
      throw new RelayError('listen_failed', message, { cause: error })
    }
  }

  private constructor(listen: Listen, app: FastifyInstance) {
    this.listen = listen
    this.#app = app
    this.#server = createServer((request, response) => this.#app.routing(request, response))
  }

  /** Such as `127.0.0.1:8081` or `unix:/run/relay/admin.sock`; with the port that was taken for port 0. */
  get address(): string {
    const bound = this.#server.address()
    return 'port' in this.listen
      ? addressOf({ ...this.listen, port: (bound as AddressInfo).port })
      : addressOf(this.listen)
  }

  /** From now on requests are answered by this. `socketMode`: who may connect to a unix socket. */
  use(app: FastifyInstance, socketMode: number): void {
    this.#app = app
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
