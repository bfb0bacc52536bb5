import { closeSync, fstatSync, openSync, readSync, type Stats, statSync } from 'node:fs'
import type Database from 'better-sqlite3'
import { errorMessage, RelayError } from '../../domain/errors.ts'
import { DISK_FAILS } from './faults.ts'

/** Of SQLite's file format: what a database begins with, and where it says how large it is. */
const MAGIC = Buffer.from('SQLite format 3\0')
const PAGE_SIZE_AT = 16
const PAGES_AT = 28
const HEADER_BYTES = 32

/** What a log begins with; the last bit tells the byte order of its checksums. */
const LOG_MAGIC = 0x377f0682

/** A checkpoint of another process writes the first page, which says how large the file is, before the last one. */
const LOOKS = 20
const LOOK_AGAIN_MS = 50

/** The files of an open outbox, as they are on their paths. */
export interface FilesInPlace {
  /**
   * Throws `outbox_failed` if they are no longer those that are open, or were truncated or overwritten. SQLite itself does
   * not notice in WAL mode, and would go on committing to what nobody will ever read again. Costs some microseconds.
   */
  assert(): void
  /** To be called when the database is closed: before, it would give up the locks on it. */
  close(): void
}

/** `path`: without links; the database has to be open and in WAL mode, so that its log is there. */
export function watchFiles(database: Database.Database, path: string): FilesInPlace {
  const file = openSync(path, 'r')
  const log = openSync(`${path}-wal`, 'r')
  const [own, ownLog, ownIndex] = [fstatSync(file), fstatSync(log), statSync(`${path}-shm`)]
  const header = Buffer.alloc(HEADER_BYTES)
  let seen = own.size
  const wait = new Int32Array(new SharedArrayBuffer(4))

  /**
   * The file got smaller, and is smaller than it says itself: a checkpoint that makes it smaller says so first. One that ran
   * out of space leaves a file that is smaller than it says, but has not got so.
   */
  function assertWhole(): void {
    for (let look = 1; ; look++) {
      const read = readSync(file, header, 0, HEADER_BYTES, 0)
      if (read < HEADER_BYTES || !header.subarray(0, MAGIC.length).equals(MAGIC))
        throw failed('was overwritten or truncated')
      const pageBytes = header.readUInt16BE(PAGE_SIZE_AT)
      // 65536 does not go into two bytes.
      const bytes = header.readUInt32BE(PAGES_AT) * (pageBytes === 1 ? 65_536 : pageBytes)
      const { size } = fstatSync(file)
      if (size >= bytes || size >= seen) {
        seen = size
        return
      }
      if (look === LOOKS) throw failed('was truncated')
      Atomics.wait(wait, 0, 0, LOOK_AGAIN_MS)
    }
  }

  function assertLog(): void {
    if (!isSame(`${path}-wal`, ownLog)) {
      // What it holds can still be read here, and only here: it goes into the database, and nothing is lost.
      database.pragma('wal_checkpoint(passive)')
      throw failed('lost its WAL (the file ending in -wal)')
    }
    const read = readSync(log, header, 0, 4, 0)
    if (read > 0 && (read < 4 || (header.readUInt32BE(0) & ~1) !== LOG_MAGIC))
      throw failed('lost its WAL (the file ending in -wal)')
  }

  function failed(what: string): RelayError {
    const message = `the outbox ${path} ${what} while the relay was running; what it acknowledges now would be lost`
    return new RelayError('outbox_failed', message)
  }

  function assertAll(): void {
    if (!isSame(path, own)) throw failed('was removed or replaced')
    assertWhole()
    assertLog()
    // Commands would make a new one, and know nothing of what is read and written here.
    if (!isSame(`${path}-shm`, ownIndex)) throw failed('lost its index (the file ending in -shm)')
  }

  return {
    assert() {
      try {
        assertAll()
      } catch (error) {
        if (error instanceof RelayError) throw error
        throw new RelayError(
          'outbox_failed',
          `the outbox ${path} cannot be read: ${errorMessage(error)}; ${DISK_FAILS}`,
        )
      }
    },
    close() {
      closeSync(file)
      closeSync(log)
    },
  }
}

function isSame(path: string, { ino, dev }: Stats): boolean {
  const now = statSync(path, { throwIfNoEntry: false })
  return now?.ino === ino && now.dev === dev
}
