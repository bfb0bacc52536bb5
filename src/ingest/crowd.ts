import { readFileSync } from 'node:fs'
import type { Server } from 'node:http'
import type { Connections } from './connections.ts'

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
export function boundConnections(server: Server, connections: Connections, most: number): void {
  server.on('connection', () => {
    if (connections.count <= most) return
    for (const longest of connections.waiting()) {
      longest.destroy()
      return
    }
  })
}
