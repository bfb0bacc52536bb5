import type { Server } from 'node:http'
import { Server as NetServer } from 'node:net'
import type { Connections } from './connections.ts'

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
export function closeGently(server: Server, connections: Connections): () => Promise<void> {
  let closing: Promise<void> | undefined

  // Before whatever answers.
  server.prependListener('request', (_request, response) => {
    if (closing !== undefined) response.shouldKeepAlive = false
  })

  function close(): Promise<void> {
    return new Promise((resolve) => {
      if (!server.listening) return resolve()
      for (const response of connections.unanswered()) response.shouldKeepAlive = false
      let elapsedMs = 0
      const sweep = setInterval(() => {
        elapsedMs += SWEEP_MS
        if (elapsedMs < NEXT_REQUEST_MS) return
        server.closeIdleConnections()
        for (const socket of [...connections.waiting()]) {
          if (socket.bytesRead === 0 || elapsedMs >= LAST_BYTES_MS) socket.destroy()
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
