import { closeSync, constants, existsSync, mkdirSync, openSync, realpathSync } from 'node:fs'
import { dirname } from 'node:path'
import type Database from 'better-sqlite3'
import { systemClock } from '../../domain/clock.ts'
import { errorMessage, RelayError } from '../../domain/errors.ts'
import { onFileSystem } from '../../file-system.ts'
import { problemAt } from '../../safe-file.ts'
import { lockFileOf } from '../lock-file.ts'
import type { Creation, OutboxOrigin } from '../outbox.ts'
import { assertContinuous } from './continuity.ts'
import { assertMayBegin, assertMayCreate } from './creation.ts'
import { openDatabase } from './driver.ts'
import { classify, DISK_FAILS } from './faults.ts'
import type { Checkpointed } from './held-log.ts'
import { type FilesInPlace, type FilesState, watchFiles } from './in-place.ts'
import { awaitPredecessor, type Instance, takeOver } from './instance.ts'
import { keepOutboxState, lockOutbox, outboxState } from './lock.ts'
import { type MarkWriter, startMarking } from './mark.ts'
import { migrate, SCHEMA, schemaOf } from './migrate.ts'
import { assertFirstName } from './names.ts'
import { originOf } from './origin.ts'
import { assertNotGone, assertNotPlanted, assertOwnLog, assertSound, assertTrustedPath, isEmpty } from './remains.ts'
import { logBytes } from './space.ts'
import { explainedByStorage } from './storage-probe.ts'
import { BUSY_SLICE_MS } from './transaction.ts'
import { openWitness } from './witness.ts'

/** How long opening the outbox waits for another process (an operator's sqlite3, a command). */
const BUSY_TIMEOUT_MS = 5_000

/** A log that was held back and has grown gets smaller than this again. */
const LOG_LIMIT_BYTES = 16 * 1024 * 1024

const MARK_ATTEMPTS = 10
const MARK_POLL_MS = 20

const CACHE_KB = 4_000

const APPEND = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK

export interface OutboxFile {
  readonly database: Database.Database
  readonly instance: Instance
  readonly origin: Omit<OutboxOrigin, 'interrupted'>
  /** See `FilesInPlace.assert`. */
  assertInPlace(): FilesState
  /** See `Instance.assertOwner`; throws `outbox_failed` if it is another one's because the file was overwritten. */
  assertOwner(): void
  /** See `MarkWriter.checkpoint`. */
  checkpoint(): Checkpointed
  /** Has the next start look at all of it before it takes anything, as far as that can still be put down. */
  distrust(): void
  /**
   * Closes it after a failure and leaves all files as they are: SQLite would write the WAL into whatever file is there now,
   * and remove it.
   */
  abandon(): void
  /** Writes the WAL into the file, unless that is not the outbox any more. */
  close(): void
}

/**
 * Opens the outbox at `configured` for the daemon, and creates it where there is none and `creation` allows it: alone (see
 * lock.ts), durable, migrated. It holds phone calls' data, so what is created is readable by the owner only.
 * Throws `outbox_locked` or `outbox_unusable`.
 */
export function openOutboxFile(configured: string, creation: Creation = 'if mounted'): OutboxFile {
  assertMayBegin(configured, creation)
  assertTrustedPath(configured)
  // Before it has a lock file.
  if (existsSync(configured)) assertFirstName(realpathSync(configured))
  createPrivately(configured)
  // Through a link, the same outbox would have a second lock.
  const path = realpathSync(configured)
  assertNotPlanted(path)
  const lock = lockedOrExplained(path)
  try {
    const state = outboxState(lock)
    if (state !== 'never made' || logBytes(path) > 0) assertNotGone(path)
    if (isEmpty(path)) assertMayCreate(path, creation)
    assertOwnLog(path)
    assertContinuous(path)
    const hasLog = logBytes(path) > 0
    const database = openDatabase(path, { timeout: BUSY_TIMEOUT_MS })
    // Only a database that has nothing in it yet takes this up: so that its file can be made smaller a little at a time.
    database.pragma('auto_vacuum = incremental')
    // What is deleted is overwritten: what was to go, for its age or on demand, is in no corner of the file any more.
    database.pragma('secure_delete = on')
    // WAL with FULL: every commit is fsynced. The build's own default, NORMAL, can lose acknowledged events in a power cut.
    database.pragma('journal_mode = wal')
    database.pragma('synchronous = full')
    // The worker checkpoints, once it has checked that the file is still the outbox.
    database.pragma('wal_autocheckpoint = 0')
    database.pragma(`journal_size_limit = ${LOG_LIMIT_BYTES}`)
    // Room for what one batch changes. The driver's own 16 MB were not measured to be faster; the kernel keeps the file as well.
    database.pragma(`cache_size = -${CACHE_KB}`)
    const isNew = upgrade(database, path, creation)
    if (state === 'distrusted') assertSound(database)
    if (hasLog) takeOverLog(database)
    keepOutboxState(lock, 'trusted')
    const instance = takeOver(database, path)
    // From here on `beginWrite` waits.
    database.pragma(`busy_timeout = ${BUSY_SLICE_MS}`)
    const witness = openWitness(path)
    const marks = startMarking(database, witness, instance.id, () => systemClock.now())
    const files = watchFiles(database, path, marks)
    placeMark(marks, files)
    const abandon = () => {
      if (!database.open) return
      // In this order: the last connection that may write also checkpoints.
      database.close()
      witness?.close()
      files.close()
      lock.close()
    }
    return {
      database,
      instance,
      origin: { isNew, ...originOf(database), endedUnexpectedly: instance.endedUnexpectedly },
      assertInPlace: files.assert,
      assertOwner() {
        try {
          instance.assertOwner()
        } catch (error) {
          files.assert()
          throw error
        }
        if (!marks.isCurrent()) throw replacedBySql(path)
      },
      checkpoint() {
        files.assert()
        return marks.checkpoint(files)
      },
      distrust() {
        try {
          keepOutboxState(lock, 'distrusted')
        } catch {
          // A disk that fails in everything. What went wrong first is told.
        }
      },
      abandon,
      close() {
        try {
          // What SQLite writes now goes into whatever file is there.
          files.assert()
        } catch {
          // The next start says what is wrong.
          abandon()
          return
        }
        endInstance(instance)
        witness?.close()
        database.close()
        files.close()
        lock.close()
      },
    }
  } catch (error) {
    lock.close()
    throw explained(error, path)
  }
}

/** The first mark is in the file before anything is acknowledged, unless a reader of an older state keeps it out. */
function placeMark(marks: MarkWriter, files: FilesInPlace): void {
  const wait = new Int32Array(new SharedArrayBuffer(4))
  for (let attempt = 1; ; attempt++) {
    if (marks.checkpoint(files).isWhole || attempt === MARK_ATTEMPTS) return
    Atomics.wait(wait, 0, 0, MARK_POLL_MS)
  }
}

function replacedBySql(path: string): RelayError {
  const message = `the content of the outbox ${path} was replaced by an older copy while the relay was running`
  return new RelayError(
    'outbox_failed',
    `${message}; stop the relay to restore a backup: \`ultravox-relay restore FILE\``,
  )
}

/**
 * Brings the outbox to this program's schema, and returns whether there was none. A daemon that still runs without its lock file
 * would go on with the schema of before, so its end is awaited first.
 */
function upgrade(database: Database.Database, path: string, creation: Creation): boolean {
  const schema = schemaOf(database)
  if (schema === 0) assertMayCreate(path, creation)
  else if (schema < SCHEMA) awaitPredecessor(database, path)
  migrate(database)
  return schema === 0
}

/**
 * Writes what a crash has left in the log into the database. After an fsync that failed, the kernel takes for written what
 * is not, and the next fsync says that all is well: an event that was refused then would be found on record, and
 * acknowledged as a duplicate, though no disk has it.
 */
function takeOverLog(database: Database.Database): void {
  try {
    database.pragma('wal_checkpoint(passive)')
  } catch (error) {
    // A full disk is told of in another way, and keeps nobody from delivering.
    if (classify(error) !== 'passing') throw error
  }
}

function lockedOrExplained(path: string): Database.Database {
  try {
    return lockOutbox(path)
  } catch (error) {
    throw explained(error, path)
  }
}

/** Where it fails, the next daemon finds out by itself that this one has ended. */
function endInstance(instance: Instance): void {
  try {
    instance.end()
  } catch {
    // The disk is full or fails; what matters was committed before.
  }
}

/** SQLite says what is wrong, but not with which file, nor what to do about it. */
function explained(cause: unknown, path: string): unknown {
  const error = explainedByStorage(cause, path)
  const code = (error as { code?: string }).code ?? ''
  const advice = Object.entries(ADVICE).find(([prefix]) => code.startsWith(prefix))?.[1]
  if (advice === undefined) return error
  const place = /^SQLITE_(NOTADB|CORRUPT)/.test(code) ? '' : onFileSystem(path)
  const message = `cannot open the outbox ${path}: ${errorMessage(error)} (${code})${place}; ${advice}`
  return new RelayError('outbox_unusable', message, { cause: error })
}

/** Network file systems often cannot lock, and none of them can share the memory that a WAL needs. */
const NO_LOCKS = 'its file system does not support locks: move the outbox to a local one'

const ADVICE: Readonly<Record<string, string>> = {
  SQLITE_NOTADB: 'restore it from a backup, or move it away to begin with an empty one',
  SQLITE_CORRUPT: 'restore it from a backup, or move it away to begin with an empty one',
  SQLITE_BUSY: 'another program holds a lock on it: end that one',
  SQLITE_CANTOPEN: 'let the user that the relay runs as read and write it and its directory',
  SQLITE_IOERR_LOCK: NO_LOCKS,
  SQLITE_IOERR: DISK_FAILS,
  SQLITE_FULL: 'make room on the disk of the outbox',
  SQLITE_PROTOCOL: NO_LOCKS,
  SQLITE_NOLFS: NO_LOCKS,
  SQLITE_READONLY: 'let the user that the relay runs as read and write it and its directory',
}

/** SQLite gives its side files the permissions of the main one. */
function createPrivately(path: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    closeSync(openSync(path, APPEND, 0o600))
    closeSync(openSync(lockFileOf(realpathSync(path)), APPEND | constants.O_NOFOLLOW, 0o600))
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const message = `cannot open the outbox ${path} for writing: ${problemAt(path, code)}`
    const user = process.geteuid?.()
    const advice =
      code === 'EACCES' ? `; let user ${user} write ${dirname(path)}, as with chown -R ${user} ${dirname(path)}` : ''
    throw new RelayError('outbox_unusable', `${message}${advice}`, { cause: error })
  }
}
