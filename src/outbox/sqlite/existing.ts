import { existsSync, realpathSync } from 'node:fs'
import type Database from 'better-sqlite3'
import { RelayError } from '../../domain/errors.ts'
import { openDatabase } from './driver.ts'
import { fromFault, toFault } from './faults.ts'
import { isLocked } from './lock.ts'
import { migrate } from './migrate.ts'
import { assertFirstName } from './names.ts'
import { assertNotPlanted, assertOwnLog, assertTrustedPath, isEmpty } from './remains.ts'
import { logBytes } from './space.ts'

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
  if (isEmpty(path)) {
    throw new RelayError(
      'outbox_unusable',
      `there is no outbox in ${path}: the file is empty; start the relay to see why`,
    )
  }
  assertTrustedPath(path)
  assertFirstName(realpathSync(path))
  assertNotPlanted(realpathSync(path))
  // While a daemon runs, the log is its; and this may be its process, in which the file must not be read.
  if (logBytes(path) > 0 && !isLocked(path)) assertOwnLog(realpathSync(path))
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
