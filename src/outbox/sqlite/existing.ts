import { existsSync } from 'node:fs'
import type Database from 'better-sqlite3'
import { RelayError } from '../../domain/errors.ts'
import { openDatabase } from './driver.ts'
import { fromFault, toFault } from './faults.ts'
import { migrate } from './migrate.ts'

const BUSY_TIMEOUT_MS = 10_000

/**
 * Opens an outbox for a command, beside the daemon. Throws `outbox_unusable` where there is none at `path` (it makes
 * none), or a newer version's.
 */
export function openExisting(path: string): Database.Database {
  if (!existsSync(path)) {
    throw new RelayError(
      'outbox_unusable',
      `there is no outbox at ${path}; the relay makes it when it is first started`,
    )
  }
  const database = openDatabase(path, { timeout: BUSY_TIMEOUT_MS })
  try {
    database.pragma('synchronous = full')
    database.pragma('secure_delete = on')
    migrate(database)
    return database
  } catch (error) {
    database.close()
    throw fromFault(toFault(error))
  }
}
