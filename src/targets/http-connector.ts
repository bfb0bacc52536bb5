import type { Socket } from 'node:net'
import { buildConnector } from 'undici'
import type { Deadlines } from './deadlines.ts'

/** Opens the connections of one pool and knows all of them. */
export interface Connector {
  readonly connect: buildConnector.connector
  /** Ends every connection, also those still being made. */
  destroyAll(): void
}

/**
 * Connections that are given up at the target's deadline. undici's own connect timeout can be a second late, and
 * meanwhile the half-made connection would block one of the pool's few places; and a destroyed pool forgets connections
 * that are still being made, which would then hold up the end of the process.
 */
export function createConnector(deadlines: Deadlines): Connector {
  const sockets = new Set<Socket>()
  const open = buildConnector({ timeout: 0 })

  const connect: buildConnector.connector = (options, callback) => {
    // undici does return the socket, although its types do not say so; a test holds it to that.
    const socket = open(options, (...result) => {
      cancelDeadline()
      callback(...result)
    }) as unknown as Socket
    const cancelDeadline = deadlines.start(() => socket.destroy(connectTimeout()))
    sockets.add(socket)
    socket.once('close', () => {
      cancelDeadline()
      sockets.delete(socket)
    })
  }

  return {
    connect,
    destroyAll() {
      for (const socket of sockets) socket.destroy()
    },
  }
}

function connectTimeout(): Error {
  return Object.assign(new Error('connect timeout'), { code: 'ETIMEDOUT', syscall: 'connect' })
}
