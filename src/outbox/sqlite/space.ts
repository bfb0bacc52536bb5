import { realpathSync, statSync } from 'node:fs'
import type Database from 'better-sqlite3'
import type { Space } from '../maintenance.ts'
import { fromFault, toFault } from './faults.ts'
import { lockOutbox } from './lock.ts'

/** The size of the write-ahead log, in bytes. SQLite keeps it where a link leads to. */
export function logBytes(path: string): number {
  return statSync(`${realpathSync(path)}-wal`, { throwIfNoEntry: false })?.size ?? 0
}

export function spaceOf(database: Database.Database): Space {
  const pragma = (name: string) => database.pragma(name, { simple: true }) as number
  const pageBytes = pragma('page_size')
  return { totalBytes: pragma('page_count') * pageBytes, reusableBytes: pragma('freelist_count') * pageBytes }
}

/**
 * Rewrites the database without its free pages. All writers would have to wait for it, so it takes the daemon's place for
 * that time. Throws `outbox_locked` where one is running, and what `assertWritable` throws.
 */
export function vacuum(database: Database.Database, path: string, assertWritable: () => void): void {
  assertWritable()
  const lock = lockOutbox(realpathSync(path))
  try {
    // Again: a daemon may have migrated it meanwhile, and none can under the lock.
    assertWritable()
    // For a file from a time when it was not made so.
    database.pragma('auto_vacuum = incremental')
    database.exec('vacuum')
    // The new content is in the log, and the file gets its new length only when it is taken over.
    database.pragma('wal_checkpoint(truncate)')
  } catch (error) {
    throw fromFault(toFault(error))
  } finally {
    lock.close()
  }
}
