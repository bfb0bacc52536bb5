import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { Server as TlsServer } from 'node:https'
import { Server as NetServer, type Socket } from 'node:net'

/** How long a request that has begun to come may still take to be there whole. */
const LAST_BYTES_MS = 2_000
/** How long a connection on which nothing is asked stays open: the next request may be on its way already. */
const NEXT_REQUEST_MS = 200
const SWEEP_MS = 100

/**
 * What closes a server so that requests in flight are answered, and connections that would hold it up are closed: idle
 * ones soon, and after a while those whose request does not come. Node leaves a connection on which nothing was ever
 * asked open, and from `server.close()` on it no longer applies its timeouts: a single silent client would hold up the
 * close for ever.
 */
export function closeGently(server: Server): () => Promise<void> {
  const sockets = new Set<Socket>()
  const unanswered = new Map<ServerResponse, IncomingMessage>()
  let closing: Promise<void> | undefined

  // Below TLS, a connection and what reads requests from it are two sockets.
  const peerOf = (socket: Socket) =>
    server instanceof TlsServer ? `${socket.remoteAddress} ${socket.remotePort}` : socket

  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  // Before whatever answers.
  server.prependListener('request', (request: IncomingMessage, response: ServerResponse) => {
    if (closing !== undefined) response.shouldKeepAlive = false
    unanswered.set(response, request)
    response.once('close', () => unanswered.delete(response))
  })

  function close(): Promise<void> {
    return new Promise((resolve) => {
      if (!server.listening) return resolve()
      for (const response of unanswered.keys()) response.shouldKeepAlive = false
      let elapsedMs = 0
      const sweep = setInterval(() => {
        elapsedMs += SWEEP_MS
        if (elapsedMs < NEXT_REQUEST_MS) return
        server.closeIdleConnections()
        const whole = [...unanswered.values()].filter(({ complete }) => complete)
        const answering = new Set(whole.map(({ socket }) => peerOf(socket)))
        for (const socket of sockets) {
          const late = socket.bytesRead === 0 || elapsedMs >= LAST_BYTES_MS
          if (late && !answering.has(peerOf(socket))) socket.destroy()
        }
      }, SWEEP_MS)
      // Not the close of http servers: it would close the idle ones at once.
      NetServer.prototype.close.call(server, () => {
        clearInterval(sweep)
        resolve()
      })
    })
  }

  return () => {
    closing ??= close()
    return closing
  }
}
