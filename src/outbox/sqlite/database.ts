import { closeSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import type Database from 'better-sqlite3'
import { RelayError } from '../../domain/errors.ts'
import { openDatabase } from './driver.ts'
import { lockOutbox } from './lock.ts'
import { migrate } from './migrate.ts'

/** How long a write waits for another process (an operator's sqlite3, the CLI) to finish its own. */
const BUSY_TIMEOUT_MS = 5_000

/**
 * Opens the outbox at `path` for the daemon, and creates it where there is none: alone (see lock.ts), durable, migrated.
 * It holds phone calls' data, so what is created is readable by the owner only.
 * Throws `outbox_locked`, `outbox_unusable`, or what SQLite says of a damaged file.
 */
export function openOutboxFile(path: string): { database: Database.Database; close(): void } {
  createPrivately(path)
  const lock = lockOutbox(path)
  try {
    const database = openDatabase(path, { timeout: BUSY_TIMEOUT_MS })
    // WAL with FULL: every commit is fsynced. The build's own default, NORMAL, can lose acknowledged events in a power cut.
    database.pragma('journal_mode = wal')
    database.pragma('synchronous = full')
    migrate(database)
    return {
      database,
      close() {
        database.close()
        lock.close()
      },
    }
  } catch (error) {
    lock.close()
    throw error
  }
}

/** SQLite gives its side files the permissions of the main one. */
function createPrivately(path: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    for (const file of [path, `${path}.lock`]) closeSync(openSync(file, 'a', 0o600))
  } catch (error) {
    throw new RelayError('outbox_unusable', `cannot create the outbox ${path}: ${(error as Error).message}`, {
      cause: error,
    })
  }
}
