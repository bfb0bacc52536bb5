import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import { type AddressInfo, createServer as createNetServer, type Server, type Socket } from 'node:net'
import type { Test as TapTest } from 'tap'

/** What a test is to a server: the end of it is its own. */
type Test = Pick<TapTest, 'teardown'>

/** A request as it arrived. */
export interface Received {
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage['headers']
  readonly rawHeaders: string[]
  readonly body: Buffer
}

/** An HTTP server that reads each request whole, keeps it, and answers as told. */
export async function httpServer(t: Test, answer: (response: ServerResponse, request: Received) => void) {
  const received: Received[] = []
  const { origin } = await rawHttpServer(t, async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const { method, url, headers, rawHeaders } = request
    received.push({ method: method!, url: url!, headers, rawHeaders, body: Buffer.concat(chunks) })
    answer(response, received.at(-1)!)
  })
  return { origin, received }
}

/** An HTTP server that does with a request whatever the test wants. */
export async function rawHttpServer(t: Test, listener: RequestListener) {
  const server = createServer(listener)
  t.teardown(() => server.closeAllConnections())
  return listening(t, server)
}

/** A TCP server for what no HTTP server would do. */
export async function tcpServer(t: Test, connected: (socket: Socket) => void) {
  const sockets = new Set<Socket>()
  const server = createNetServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    connected(socket)
  })
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
  })
  return listening(t, server)
}

export async function listening(t: Test, server: Server) {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  return { server, port, host: `127.0.0.1:${port}`, origin: `http://127.0.0.1:${port}` }
}

/**
 * A port that nobody listens on now, and that the system gives to nobody who asks for any: those begin at 32768, and other
 * tests take them all the time.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(20_000, 32_768)
    const server = createNetServer().listen(port, '127.0.0.1')
    const isFree = await once(server, 'listening').then(
      () => true,
      () => false,
    )
    if (!isFree) continue
    server.close()
    await once(server, 'close')
    return port
  }
}
