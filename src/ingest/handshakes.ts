import type { Server } from 'node:https'
import type { Socket } from 'node:net'
import type { Connections } from './connections.ts'

/** A handshake takes one to two milliseconds in which nothing else goes on; this many start before other work gets its turn. */
const AT_ONCE = 4

/**
 * Begins TLS handshakes a few at a time, and the networks in turn: thousands that one client asks for at once would hold up all
 * others for seconds. A connection waits here until its client has sent something, and is closed if that takes too long.
 */
export function queueHandshakes(server: Server, connections: Pick<Connections, 'peerOf'>, timeoutMs: number): void {
  const queue = new Turns()
  const [begin] = server.listeners('connection') as [(socket: Socket) => void]
  server.off('connection', begin)
  server.on('connection', (socket: Socket) => {
    const peer = connections.peerOf(socket)
    if (peer === undefined || socket.destroyed) return
    const tooLate = () => socket.destroy()
    // A reset is no more than the end of the connection, and without a listener it would be the end of the process.
    socket.on('error', () => {})
    socket.setTimeout(timeoutMs, tooLate)
    socket.once('readable', () => {
      socket.setTimeout(0).off('timeout', tooLate)
      queue.push(peer.network, () => {
        if (!socket.destroyed) begin.call(server, socket)
      })
    })
  })
}

/** Work that waits for its turn. */
class Turns {
  readonly #waiting = new Map<string, (() => void)[]>()

  push(network: string, work: () => void): void {
    if (this.#waiting.size === 0) setImmediate(() => this.#run())
    const before = this.#waiting.get(network)
    if (before === undefined) this.#waiting.set(network, [work])
    else before.push(work)
  }

  #run(): void {
    for (let n = 0; n < AT_ONCE; n += 1) {
      const next = this.#waiting.entries().next()
      if (next.done) return
      const [network, works] = next.value
      const work = works.shift()!
      this.#waiting.delete(network)
      if (works.length > 0) this.#waiting.set(network, works)
      work()
    }
    if (this.#waiting.size > 0) setImmediate(() => this.#run())
  }
}
