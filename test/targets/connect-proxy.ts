import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import { connect, type Socket } from 'node:net'
import type { Test } from 'tap'
import { listening } from '../local-server.ts'

/** What a proxy was asked for. */
export interface Asked {
  readonly authority: string
  readonly headers: IncomingHttpHeaders
}

/** A small real proxy: it answers CONNECT, and joins the two sides where the answer is 200. `before`: sent before that. */
export async function connectProxy(t: Test, options: { status?: number; upstream?: number; before?: string } = {}) {
  const { status = 200, upstream, before = '' } = options
  const asked: Asked[] = []
  const sockets = new Set<Socket>()
  const server = createServer((_, response) => response.writeHead(400).end('not a proxy request'))
  server.on('connection', (socket) => sockets.add(socket))
  server.on('connect', async ({ url, headers }, client: Socket) => {
    asked.push({ authority: url!, headers })
    client.on('error', () => {})
    if (status !== 200) return client.end(`${before}HTTP/1.1 ${status} No\r\ncontent-length: 0\r\n\r\n`)
    // Names in tests stand for servers on this machine: only the proxy knows which.
    const target = connect(upstream ?? Number(url!.split(':').at(-1)), '127.0.0.1')
    sockets.add(target)
    target.on('error', () => client.destroy())
    await once(target, 'connect')
    client.write(`${before}HTTP/1.1 200 Connection established\r\n\r\n`)
    client.pipe(target).pipe(client)
  })
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
  })
  return { asked, sockets, ...(await listening(t, server)) }
}
