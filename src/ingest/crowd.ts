import { readFileSync } from 'node:fs'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** More than any sender needs, and little enough in memory. */
const MOST_CONNECTIONS = 10_000
/** What a process may have open at once where that cannot be found out. */
const USUAL_OPEN_FILES = 1_024

/** How many connections a listener should have: half of what may be open at most, for targets and programs need some too. */
export function mostConnections(): number {
  return Math.min(MOST_CONNECTIONS, Math.floor(openFiles() / 2))
}

function openFiles(): number {
  try {
    const limit = Number(/^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1])
    return limit > 0 ? limit : USUAL_OPEN_FILES
  } catch {
    return USUAL_OPEN_FILES
  }
}

/**
 * Bounds the connections of a server. One too many is made room for: of those that wait for a request, or for the rest of
 * one, the one that has done so for longest is closed. A bound that keeps the newest out would let anybody who opens that many
 * keep the genuine sender out.
 */
export function boundConnections(server: Server, most: number): void {
  /** By the other side's address, for below TLS a connection and what reads requests from it are two sockets; longest first. */
  const waiting = new Map<string, Socket>()
  const answering = new Map<string, Socket>()

  server.on('connection', (socket: Socket) => {
    const peer = peerOf(socket)
    waiting.set(peer, socket)
    socket.once('close', () => {
      for (const sockets of [waiting, answering]) if (sockets.get(peer) === socket) sockets.delete(peer)
    })
    if (waiting.size + answering.size <= most) return
    const [longest] = waiting
    longest![1].destroy()
    waiting.delete(longest![0])
  })

  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const peer = peerOf(request.socket)
    request.once('end', () => move(peer, waiting, answering))
    response.once('close', () => move(peer, answering, waiting))
  })
}

function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`
}

function move(peer: string, from: Map<string, Socket>, to: Map<string, Socket>): void {
  const socket = from.get(peer)
  if (socket === undefined) return
  from.delete(peer)
  to.set(peer, socket)
}
