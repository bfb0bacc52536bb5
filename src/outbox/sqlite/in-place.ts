import { closeSync, fstatSync, fsyncSync, openSync, type Stats, statSync } from 'node:fs'
import type Database from 'better-sqlite3'
import { errorMessage, RelayError } from '../../domain/errors.ts'
import { belongs } from './continuity.ts'
import { DISK_FAILS } from './faults.ts'
import {
  type DatabaseHeader,
  FRAME_HEADER_BYTES,
  frameSalts,
  HEADER_BYTES,
  INDEX_BYTES,
  parseHeader,
  parseWalIndex,
  readInto,
  WAL_HEADER_BYTES,
  type WalIndex,
  walSalts,
} from './file-format.ts'
import { takenOver } from './instance.ts'
import { type Mark, type MarkWriter, markId, parseComplete, parseInstanceId, parseMark, readWal } from './mark.ts'

/** A checkpoint of another process writes one page after the other, and its commit one file after the other. */
const LOOKS = 20
const LOOK_AGAIN_MS = 50

/** The files of an open outbox, as they are on their paths. */
export interface FilesInPlace {
  /**
   * Throws `outbox_failed` if they are no longer those that are open, or were truncated or overwritten, be it with another
   * outbox or an older copy of this one. SQLite itself does not notice in WAL mode, and would go on committing to files that
   * are never read again. Throws `outbox_locked` if another daemon has written to them. Costs some microseconds.
   */
  assert(): FilesState
  /** Has the database file on disk when it returns. */
  sync(): void
  /** To be called when the database is closed: before, it would give up the locks on it. */
  close(): void
}

export interface FilesState {
  /** Frames of the WAL that are not in the database file yet. */
  readonly waitingFrames: number
  /** Whether the file shows that it needs its WAL: not once another process has written the WAL into it. */
  readonly isMarked: boolean
}

/** `path`: without links; the database has to be open and in WAL mode, so that its WAL is there. */
export function watchFiles(database: Database.Database, path: string, marks: MarkWriter): FilesInPlace {
  const file = openSync(path, 'r')
  const wal = openSync(`${path}-wal`, 'r')
  const index = openSync(`${path}-shm`, 'r')
  const [own, ownWal, ownIndex] = [fstatSync(file), fstatSync(wal), fstatSync(index)]
  const bytes = {
    header: Buffer.alloc(HEADER_BYTES),
    wal: Buffer.alloc(WAL_HEADER_BYTES),
    frame: Buffer.alloc(FRAME_HEADER_BYTES),
    index: Buffer.alloc(INDEX_BYTES),
  }
  const markTable = tableReader(file, parseMark)
  const completeTable = tableReader(file, parseComplete)
  const instanceTable = tableReader(file, parseInstanceId)
  const wait = new Int32Array(new SharedArrayBuffer(4))
  let seenBytes = own.size
  let lastFrames = 0
  const lastSalts = Buffer.alloc(8)
  /** The number of our last mark that was seen in the file; 0 as long as a reader of an older state keeps all marks out. */
  let seenMark = 0

  /** Repeats a check whose result can be wrong for a moment while another process writes. */
  function patiently<T>(check: () => T | undefined): T | undefined {
    for (let look = 1; ; look++) {
      const result = check()
      if (result !== undefined || look === LOOKS) return result
      Atomics.wait(wait, 0, 0, LOOK_AGAIN_MS)
    }
  }

  function assertHeader(): DatabaseHeader {
    const header = parseHeader(readInto(bytes.header, file, 0))
    if (header === null) throw failed('was overwritten or truncated')
    if (!header.hasWal) throw failed('was overwritten with another file')
    return header
  }

  /**
   * The file got smaller, and is smaller than it says itself: a checkpoint that makes it smaller says so first. One that ran
   * out of space leaves a file that is smaller than it says, but has not got so.
   */
  function assertWhole(): DatabaseHeader {
    const whole = patiently(() => {
      const header = assertHeader()
      const { size } = fstatSync(file)
      if (size < header.pages * header.pageBytes && size < seenBytes) return
      seenBytes = size
      return header
    })
    if (whole === undefined) throw failed('was truncated')
    return whole
  }

  function assertMarked({ pageBytes }: DatabaseHeader): Mark | null {
    const mark = patiently(() => {
      const found = markTable(pageBytes, marks.pages.mark)
      const instanceId = instanceTable(pageBytes, marks.pages.instance)
      if (isOwn(found) && instanceId === found.run) {
        seenMark = found.number
        return found
      }
      if (leastMark() === 0) return null
      // `vacuum` by another program has put the tables elsewhere.
      marks.locate()
    })
    if (mark !== undefined) return mark
    const now = markTable(pageBytes, marks.pages.mark)
    const isTakenOver =
      now !== null &&
      now.run !== marks.last.run &&
      belongs({ ...now, isComplete: isComplete(now, pageBytes) }, readWal(wal).marks)
    throw isTakenOver ? takenOver(path) : failed('was overwritten with another file')
  }

  const isComplete = (mark: Mark, pageBytes: number) => completeTable(pageBytes, marks.pages.complete) === markId(mark)

  function isOwn(mark: Mark | null): mark is Mark {
    return mark?.run === marks.last.run && mark.number >= leastMark() && mark.number <= marks.last.number
  }

  const leastMark = () => Math.max(seenMark, marks.inFile)

  /** Returns how many frames are not in the database file yet. */
  function assertWal(pageBytes: number): number {
    if (!isSame(`${path}-wal`, ownWal)) {
      // What it holds can still be read here, and only here: it goes into the database, and nothing is lost.
      database.pragma('wal_checkpoint(passive)')
      throw failed(LOST_WAL)
    }
    // Commands would make a new one, and know nothing of what is read and written here.
    if (!isSame(`${path}-shm`, ownIndex)) throw failed('lost its index (the file ending in -shm)')
    const waiting = patiently(() => {
      const found = parseWalIndex(readInto(bytes.index, index, 0))
      if (found === null) return
      if (found.frames === 0) return 0
      if (!isWalWhole(found, pageBytes)) return
      lastFrames = found.frames
      found.salts.copy(lastSalts)
      return found.frames - found.backfilled
    })
    if (waiting === undefined) throw failed(LOST_WAL)
    return waiting
  }

  function isWalWhole({ salts, frames }: WalIndex, pageBytes: number): boolean {
    const endOf = (frame: number) => WAL_HEADER_BYTES + frame * (FRAME_HEADER_BYTES + pageBytes)
    if (walSalts(readInto(bytes.wal, wal, 0))?.equals(salts) !== true || fstatSync(wal).size < endOf(frames))
      return false
    // A WAL that was truncated is as long as before once a commit has been written behind the hole.
    const before = lastSalts.equals(salts) ? Math.min(lastFrames, frames) : 1
    return frameSalts(readInto(bytes.frame, wal, endOf(before - 1))).equals(salts)
  }

  function failed(what: string): RelayError {
    const message =
      `the outbox ${path} ${what} while the relay was running; what it acknowledges now would be lost. ` +
      'To restore a backup, stop the relay and run `ultravox-relay restore FILE`'
    return new RelayError('outbox_failed', message)
  }

  function ioFailed(done: string, error: unknown): RelayError {
    return new RelayError(
      'outbox_failed',
      `the outbox ${path} cannot be ${done}: ${errorMessage(error)}; ${DISK_FAILS}`,
    )
  }

  function assertAll(): FilesState {
    if (!isSame(path, own)) throw failed('was removed or replaced')
    const header = assertWhole()
    const mark = assertMarked(header)
    const waitingFrames = assertWal(header.pageBytes)
    return { waitingFrames, isMarked: mark !== null && !isComplete(mark, header.pageBytes) }
  }

  return {
    assert() {
      try {
        return assertAll()
      } catch (error) {
        if (error instanceof RelayError) throw error
        throw ioFailed('read', error)
      }
    },
    sync() {
      try {
        fsyncSync(file)
      } catch (error) {
        throw ioFailed('written', error)
      }
    },
    close() {
      for (const one of [file, wal, index]) closeSync(one)
    },
  }
}

/** Reads a table of one page, and parses it only where it has changed. */
function tableReader<T>(file: number, parse: (page: Buffer) => T): (pageBytes: number, page: number) => T {
  let buffer = Buffer.alloc(0)
  let last: { readonly page: Buffer; readonly value: T } | undefined
  return (pageBytes, page) => {
    if (buffer.length !== pageBytes) buffer = Buffer.alloc(pageBytes)
    const found = readInto(buffer, file, (page - 1) * pageBytes)
    if (last?.page.equals(found) === true) return last.value
    const copy = Buffer.from(found)
    last = { page: copy, value: parse(copy) }
    return last.value
  }
}

const LOST_WAL = 'lost its WAL (the file ending in -wal)'

function isSame(path: string, { ino, dev }: Stats): boolean {
  const now = statSync(path, { throwIfNoEntry: false })
  return now?.ino === ino && now.dev === dev
}
