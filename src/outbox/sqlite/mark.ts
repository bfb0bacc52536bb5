import type Database from 'better-sqlite3'
import { classify } from './faults.ts'
import {
  isEmptyTable,
  onlyRecord,
  pagesInWal,
  readHeader,
  readPage,
  readWalHeader,
  rootPage,
  type Value,
} from './file-format.ts'
import { type Checkpointed, plainCheckpoint } from './held-log.ts'
import { beginWrite } from './transaction.ts'

/*
 * The mark is one row in the outbox that is compared with what the database file itself says, past the WAL.
 *
 * While a daemon runs, the file has a mark that is not complete, and the WAL begins with one that is. So the file without its WAL
 * shows that something is missing, and whatever takes the whole WAL over into the file (a clean close, a command, an
 * operator's sqlite3) thereby makes it complete. Marks are numbered, and each checkpoint brings a higher number into the file:
 * an older copy of the same file has a lower one.
 */

const TABLE = 'file_mark'
/** The schema version that introduced it. */
const MARKED_SINCE = 9

export interface Mark {
  /** The daemon that wrote it: its `instance_id`. */
  readonly run: string
  readonly number: number
  /** Whether the file has everything that was committed before the mark. */
  readonly isComplete: boolean
  /** The id of the mark before it; empty for the first one. */
  readonly previous: string
  /** Epoch milliseconds. */
  readonly markedAt: number
}

export const markId = ({ run, number }: Pick<Mark, 'run' | 'number'>): string => `${run}/${number}`

/** Where the tables lie that are read past SQLite; 1, the page of the schema, where there is no such table. `vacuum` moves them. */
export interface MarkPages {
  readonly mark: number
  readonly instance: number
}

export function markPages(database: Database.Database): MarkPages {
  const root = database.prepare('select rootpage from sqlite_schema where name = ?').pluck()
  return { mark: (root.get(TABLE) as number) ?? 1, instance: (root.get('daemon_instance') as number) ?? 1 }
}

/** The mark in a page of `file_mark`; null where the page is anything else. */
export function parseMark(page: Buffer): Mark | null {
  const values = onlyRecord(page)
  return values === null ? null : markOf(values)
}

function markOf(values: readonly Value[]): Mark | null {
  const [only, run, number, complete, previous, markedAt] = values
  const isMark =
    values.length === 6 &&
    only === null &&
    typeof run === 'string' &&
    typeof number === 'number' &&
    typeof complete === 'number' &&
    typeof previous === 'string' &&
    typeof markedAt === 'number'
  return isMark ? { run, number, isComplete: complete === 1, previous, markedAt } : null
}

/** The `instance_id` in a page of `daemon_instance`; null where the page is anything else. */
export function parseInstanceId(page: Buffer): string | null {
  const id = onlyRecord(page)?.[1]
  return typeof id === 'string' ? id : null
}

/**
 * The mark in the database file itself. Null where it has none: a backup, or what was made before there were marks. 'damaged' where it
 * should have one: a crash may have cut off the checkpoint that wrote it.
 */
export function markInFile(file: number): Mark | null | 'damaged' {
  const header = readHeader(file)
  if (header === null) return null
  const root = rootPage(file, TABLE)
  if (root === null) return header.userVersion < MARKED_SINCE ? null : 'damaged'
  const page = readPage(file, header.pageBytes, root)
  return parseMark(page) ?? (isEmptyTable(page) ? null : 'damaged')
}

/** What a WAL shows of itself. */
export interface WalContent {
  /** All marks since it was last begun, the oldest first. */
  readonly marks: readonly Mark[]
  readonly isEmpty: boolean
  /** Whether it had frames before it was last begun: it is not one that was made in the place of a missing one. */
  readonly isRestarted: boolean
}

export function readWal(wal: number): WalContent {
  const marks: Mark[] = []
  let isEmpty = true
  for (const page of pagesInWal(wal)) {
    isEmpty = false
    const mark = parseMark(page)
    if (mark !== null && isLikely(mark)) marks.push(mark)
  }
  return { marks, isEmpty, isRestarted: (readWalHeader(wal)?.restarts ?? 0) > 0 }
}

/** Other tables of six columns might have a page with one row. */
const isLikely = ({ run, previous }: Mark) => /^[\da-f-]{36}$/.test(run) && /^([\da-f-]{36}\/\d+)?$/.test(previous)

export interface MarkWriter {
  /** The last mark that was committed. */
  readonly last: Mark
  /** The number of the last mark that is known to have come into the file; 0 where none is. */
  readonly inFile: number
  /** Where the tables lie, looked up again by `locate`. */
  readonly pages: MarkPages
  locate(): void
  /** Whether the mark in the database is still the last one: it is not after a copy was restored through SQLite. */
  isCurrent(): boolean
  /**
   * Writes the WAL into the file as far as readers allow, without waiting for them, and leaves a mark in the file that is not
   * complete. Returns how many frames the WAL had and how many of them were written. Throws where the storage fails, but not for a
   * full disk or a locked database. `assertInPlace` throws where the WAL was written into another file: then the WAL is not begun
   * once more.
   */
  checkpoint(assertInPlace: () => void): Checkpointed
  /** Makes the last mark complete. Returns false where it cannot: then the WAL must stay. */
  complete(): boolean
}

const NOTHING_TAKEN: Checkpointed = { frames: 0, backfilled: 0, isWhole: false }

/** Begins a run: the last mark in the outbox, if there is one, becomes the one before the first of this run. */
export function startMarking(database: Database.Database, run: string, now: () => number): MarkWriter {
  const select = database.prepare(`select run, number, complete from ${TABLE}`)
  const replace = database.prepare(`
    insert or replace into ${TABLE} (only_one, run, number, complete, previous, marked_at)
    values (1, @run, @number, @complete, @previous, @markedAt)`)
  const current = database.prepare(`select 1 from ${TABLE} where run = ? and number = ?`)
  const before = select.get() as { run: string; number: number; complete: 0 | 1 } | undefined
  let last: Mark = {
    run,
    number: 0,
    isComplete: before?.complete !== 0,
    previous: before === undefined ? '' : markId(before),
    markedAt: now(),
  }
  let pages = markPages(database)
  let inFile = 0

  /** Returns false where that is impossible for now. */
  function write(isComplete: boolean): boolean {
    const previous = last.number === 0 ? last.previous : markId(last)
    const next = { run, number: last.number + 1, isComplete, previous, markedAt: now() }
    return unlessPassing(false, () => {
      beginWrite(database)
      try {
        replace.run({ ...next, complete: isComplete ? 1 : 0, isComplete: undefined })
        database.exec('commit')
        last = next
      } catch (error) {
        if (database.inTransaction) database.exec('rollback')
        throw error
      }
      return true
    })
  }

  const take = () => unlessPassing(NOTHING_TAKEN, () => plainCheckpoint(database))

  return {
    get last() {
      return last
    },
    get pages() {
      return pages
    },
    locate() {
      pages = markPages(database)
    },
    get inFile() {
      return inFile
    },
    isCurrent: () => last.number === 0 || current.get(run, last.number) !== undefined,
    checkpoint(assertInPlace) {
      const taken = take()
      // Where somebody reads an older state, marks would only make the WAL longer.
      if (!taken.isWhole) return taken
      assertInPlace()
      // If a crash comes between these two marks, and another program than the relay then writes the WAL into the file, the next
      // start misses a WAL that had nothing in it: nothing is acknowledged in between. So what takes long comes before them.
      if (!write(false)) return taken
      if (take().isWhole) inFile = last.number
      assertInPlace()
      write(true)
      return taken
    },
    complete: () => last.isComplete || write(true),
  }
}

/** Returns `otherwise` where the disk is full, or the database locked for too long. */
function unlessPassing<T>(otherwise: T, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (classify(error) !== 'passing') throw error
    return otherwise
  }
}

/** Whether the relay has crashed in a checkpoint: its WAL is then needed, though everything may be in the file. */
export function isBetweenMarks(database: Database.Database): boolean {
  try {
    return database.prepare(`select complete from ${TABLE}`).pluck().get() === 0
  } catch {
    // A file that cannot be read: SQLite does not write into it either.
    return false
  }
}

/** Makes a copy complete by itself: it is none of the daemon's files. */
export function unmark(database: Database.Database): void {
  const hasMarks = database.prepare('select 1 from sqlite_schema where name = ?').get(TABLE) !== undefined
  if (hasMarks) database.exec(`delete from ${TABLE}`)
}
