import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'

/** Where the recordings of events are kept while they are needed: beside the outbox, as `relay.db-recordings`. */
export function recordingsDirectory(outboxPath: string): string {
  return `${outboxPath}-recordings`
}

/** The files of these events: the recording of each, and what attempts were lent of it. */
export function findRecordings(directory: string, eventIds: readonly string[]): string[] {
  return namesIn(directory)
    .filter((name) => eventIds.some((id) => name === id || name.startsWith(`${id}-`)))
    .map((name) => join(directory, name))
}

/** Removes them, whoever has them open. Returns how many there were. */
export function removeRecordings(directory: string, eventIds: readonly string[]): number {
  const paths = findRecordings(directory, eventIds)
  for (const path of paths) rmSync(path, { force: true })
  return paths.length
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}
