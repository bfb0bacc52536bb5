import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { HeldDirectory } from '../safe-file.ts'

/** Where the recordings of events are kept while they are needed: beside the outbox, as `relay.db-recordings`. */
export function recordingsDirectory(outboxPath: string): string {
  return `${outboxPath}-recordings`
}

/** The files of these events: the recording of each, and what attempts were lent of it. */
export function findRecordings(directory: string, eventIds: readonly string[]): string[] {
  return withRecordings(directory, [], (held) =>
    recordingNames(held)
      .filter((name) => isOf(name, eventIds))
      .map((name) => join(directory, name)),
  )
}

/** Removes them, whoever has them open. Returns how many there were. */
export function removeRecordings(directory: string, eventIds: readonly string[]): number {
  return withRecordings(directory, 0, (held) => {
    const names = recordingNames(held).filter((name) => isOf(name, eventIds))
    for (const name of names) rmSync(held.path(name), { force: true })
    return names.length
  })
}

export function recordingNames(held: HeldDirectory): string[] {
  return readdirSync(held.path('.'))
}

/** Holds the directory while `use` runs; `otherwise` where no recording was ever kept. */
function withRecordings<T>(directory: string, otherwise: T, use: (held: HeldDirectory) => T): T {
  const held = holdIfThere(directory)
  if (held === null) return otherwise
  try {
    return use(held)
  } finally {
    held.close()
  }
}

/** Null where there is no such directory. Throws where root cannot trust the path: see `HeldDirectory.open`. */
export function holdIfThere(directory: string): HeldDirectory | null {
  try {
    return HeldDirectory.open(directory)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

function isOf(name: string, eventIds: readonly string[]): boolean {
  return eventIds.some((id) => name === id || name.startsWith(`${id}-`))
}
