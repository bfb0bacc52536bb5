import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'

/** How long a request that has begun to come may still take to be there whole. */
const LAST_BYTES_MS = 2_000
const SWEEP_MS = 100

/**
 * On close, requests in flight are answered, and connections that would hold it up are closed: idle ones at once, and
 * after a moment those whose request does not come. Node leaves a connection on which nothing was ever asked open, and
 * from `server.close()` on it no longer applies its timeouts: a single silent client would hold up the close for ever.
 */
export function closeGently(app: FastifyInstance): void {
  const server = app.server as Server
  const sockets = new Set<Socket>()
  const unanswered = new Set<IncomingMessage>()
  let closing = false

  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    unanswered.add(request)
    response.once('close', () => unanswered.delete(request))
  })
  app.addHook('onSend', async (_request, reply) => {
    if (closing) reply.header('connection', 'close')
  })
  app.addHook('preClose', async () => {
    closing = true
    let remainingMs = LAST_BYTES_MS
    const sweep = setInterval(() => {
      remainingMs -= SWEEP_MS
      server.closeIdleConnections()
      const answering = new Set([...unanswered].filter(({ complete }) => complete).map(({ socket }) => socket))
      for (const socket of sockets) {
        if (!answering.has(socket) && (socket.bytesRead === 0 || remainingMs <= 0)) socket.destroy()
      }
    }, SWEEP_MS)
    server.once('close', () => clearInterval(sweep))
  })
}
