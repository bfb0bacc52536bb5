import { readFileSync } from 'node:fs'

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
