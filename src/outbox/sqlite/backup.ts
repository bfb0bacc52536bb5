import type Database from 'better-sqlite3'
import { errorMessage, RelayError } from '../../domain/errors.ts'
import { onFileSystem } from '../../file-system.ts'
import type { BackupOptions, BackupReport } from '../maintenance.ts'
import { openDatabase } from './driver.ts'
import { fromFault, toFault } from './faults.ts'
import { unmark } from './mark.ts'
import { SCHEMA, schemaOf } from './migrate.ts'
import { whyStorageFails } from './storage-probe.ts'

/** So many pages a step, a few milliseconds of copying, after which it can be told how far it has come, or be ended. */
const STEP_PAGES = 1_000

/** No other process has the copy open. */
const COPY_BUSY_MS = 500

/**
 * Copies the outbox into the empty file `to` as it is at this moment, and checks the copy. By SQLite's backup, which goes
 * in steps, inside of a read transaction. Without one, it begins anew whenever another connection writes: on 300 MB
 * beside a daemon with 250 commits a second it had not ended after 15 s and 4,000 beginnings; with one it took 1.7 s. `vacuum into`
 * takes half of that (0.8 s) and gives a compact copy, but as one statement: no progress, and no way to end it by Ctrl-C.
 * Either way writers wait for nothing but the disk.
 */
export async function copyDatabase(
  database: Database.Database,
  to: string,
  { onProgress, signal }: BackupOptions,
): Promise<BackupReport> {
  database.exec('begin')
  try {
    // The transaction has its snapshot only once something is read.
    database.prepare('select 1 from sqlite_schema').get()
    await database.backup(to, {
      progress({ totalPages, remainingPages }) {
        signal.throwIfAborted()
        onProgress(totalPages - remainingPages, totalPages)
        return STEP_PAGES
      },
    })
  } catch (error) {
    throw signal.aborted ? error : cannotWrite(to, error)
  } finally {
    // Some errors have rolled back already.
    if (database.inTransaction) database.exec('rollback')
  }
  signal.throwIfAborted()
  try {
    return checkedCopy(to)
  } catch (error) {
    throw error instanceof RelayError ? error : cannotWrite(to, error)
  }
}

/** Names the disk that the backup is written to, not the outbox. */
function cannotWrite(to: string, error: unknown): RelayError {
  const why = whyStorageFails(to, 'write it to a local directory and copy it from there')?.message
  const place = why === undefined ? onFileSystem(to) : `; ${why}`
  const message = `cannot write the backup: ${errorMessage(error)}${place}`
  return fromFault({ code: toFault(error).code, message })
}

function checkedCopy(path: string): BackupReport {
  const copy = openDatabase(path, { timeout: COPY_BUSY_MS })
  try {
    // Without the shared memory of a WAL, which a share for backups may not have.
    copy.pragma('locking_mode = exclusive')
    unmark(copy)
    // One file without side files, that can be read from a place where nothing can be written; the daemon turns it back.
    copy.pragma('journal_mode = delete')
    const verdict = copy.pragma('quick_check(1)', { simple: true }) as string
    if (verdict !== 'ok') {
      throw new RelayError(
        'outbox_failed',
        `the copy is not sound (${verdict}): run doctor --deep on the outbox itself`,
      )
    }
    if (schemaOf(copy) > SCHEMA) return { events: null, deliveries: null }
    return copy
      .prepare(`
      select
        (select count(*) from events) as events,
        (select count(*) from live_deliveries) + (select count(*) from finished_deliveries) as deliveries`)
      .get() as BackupReport
  } finally {
    copy.close()
  }
}
