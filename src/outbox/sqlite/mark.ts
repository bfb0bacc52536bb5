import type Database from 'better-sqlite3'
import { classify } from './faults.ts'
import { isEmptyTable, onlyRecord, pagesInWal, readHeader, readPage, readWalHeader, rootPage } from './file-format.ts'
import { type Checkpointed, plainCheckpoint } from './held-log.ts'
import { beginWrite } from './transaction.ts'

/*
 * The mark is one row in the outbox that is compared with what the database file itself says, past the WAL. A second table names the
 * mark once more: both always agree in the database, but not in the file, in which the second one may be older.
 *
 * While a daemon runs, they differ in the file, and the file without its WAL thereby shows that something is missing. Whatever takes
 * the whole WAL over into the file (a clean close, a command, an operator's sqlite3) makes it complete. Marks are numbered, and
 * each checkpoint brings a higher number into the file: an older copy of the same file has a lower one.
 */

const TABLE = 'file_mark'
const COMPLETE_TABLE = 'complete_mark'
/** The schema version that introduced them. */
const MARKED_SINCE = 9

export interface Mark {
  /** The daemon that wrote it: its `instance_id`. */
  readonly run: string
  readonly number: number
  /** The id of the mark before it; empty for the first one. */
  readonly previous: string
  /** Epoch milliseconds. */
  readonly markedAt: number
}

export interface FileMark extends Mark {
  /** Whether the file is whole without its WAL. */
  readonly isComplete: boolean
}

export const markId = ({ run, number }: Pick<Mark, 'run' | 'number'>): string => `${run}/${number}`

/** Where the tables lie that are read past SQLite; 1, the page of the schema, where there is no such table. `vacuum` moves them. */
export interface MarkPages {
  readonly mark: number
  readonly complete: number
  readonly instance: number
}

function markPages(database: Database.Database): MarkPages {
  const root = database.prepare('select rootpage from sqlite_schema where name = ?').pluck()
  const pageOf = (table: string) => (root.get(table) as number) ?? 1
  return { mark: pageOf(TABLE), complete: pageOf(COMPLETE_TABLE), instance: pageOf('daemon_instance') }
}

/** The mark in a page of `file_mark`; null where the page is anything else. */
export function parseMark(page: Buffer): Mark | null {
  const [only, run, number, previous, markedAt, ...more] = onlyRecord(page) ?? []
  const isMark =
    only === null &&
    typeof run === 'string' &&
    typeof number === 'number' &&
    typeof previous === 'string' &&
    typeof markedAt === 'number' &&
    more.length === 0
  return isMark ? { run, number, previous, markedAt } : null
}

/** The id of the mark in a page of `complete_mark`; null where the page is anything else. */
export function parseComplete(page: Buffer): string | null {
  const [, run, number] = onlyRecord(page) ?? []
  return typeof run === 'string' && typeof number === 'number' ? markId({ run, number }) : null
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
export function markInFile(file: number): FileMark | null | 'damaged' {
  const header = readHeader(file)
  if (header === null) return null
  const root = rootPage(file, TABLE)
  if (root === null) return header.userVersion < MARKED_SINCE ? null : 'damaged'
  const page = readPage(file, header.pageBytes, root)
  const mark = parseMark(page)
  if (mark === null) return isEmptyTable(page) ? null : 'damaged'
  const completeRoot = rootPage(file, COMPLETE_TABLE)
  if (completeRoot === null) return 'damaged'
  return { ...mark, isComplete: parseComplete(readPage(file, header.pageBytes, completeRoot)) === markId(mark) }
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

/** Other tables of five columns might have a page with one row. */
const isLikely = ({ run, previous }: Mark) => /^[\da-f-]{36}$/.test(run) && /^([\da-f-]{36}\/\d+)?$/.test(previous)

export interface MarkedFiles {
  /** Throws where the WAL was written into another file: then the WAL is not begun once more. */
  assert(): unknown
  /** Has the database file on disk when it returns. */
  sync(): void
}

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
   * full disk or a locked database.
   */
  checkpoint(files: MarkedFiles): Checkpointed
}

const NOTHING_TAKEN: Checkpointed = { frames: 0, backfilled: 0, isWhole: false }

/**
 * Begins a run: the last mark in the outbox, if there is one, becomes the one before the first of this run. `reader`: a second
 * connection, without which no marks are written.
 */
export function startMarking(
  database: Database.Database,
  reader: Database.Database | null,
  run: string,
  now: () => number,
): MarkWriter {
  const select = database.prepare(`select run, number from ${TABLE}`)
  const replace = database.prepare(`
    insert or replace into ${TABLE} (only_one, run, number, previous, marked_at)
    values (1, @run, @number, @previous, @markedAt)`)
  const replaceComplete = database.prepare(`
    insert or replace into ${COMPLETE_TABLE} (only_one, run, number, writes)
    select only_one, run, number, ? from ${TABLE}`)
  const current = database.prepare(`select 1 from ${TABLE} where run = ? and number = ?`)
  const before = select.get() as { run: string; number: number } | undefined
  let last: Mark = {
    run,
    number: 0,
    previous: before === undefined ? '' : markId(before),
    markedAt: now(),
  }
  let pages = markPages(database)
  let isHeld = false
  let inFile = 0

  /** Commits `work`. Returns false where nothing can be written for now. */
  function write(work: () => void): boolean {
    return unlessPassing(false, () => {
      beginWrite(database)
      try {
        work()
        database.exec('commit')
      } catch (error) {
        if (database.inTransaction) database.exec('rollback')
        throw error
      }
      return true
    })
  }

  function writeNext(): boolean {
    const previous = last.number === 0 ? last.previous : markId(last)
    const next = { run, number: last.number + 1, previous, markedAt: now() }
    const isWritten = write(() => {
      replace.run(next)
      replaceComplete.run(1)
    })
    if (isWritten) last = next
    return isWritten
  }

  const take = () => unlessPassing(NOTHING_TAKEN, () => plainCheckpoint(database))

  /**
   * Brings a mark into the file, but not its second table, which is then older. A checkpoint writes the newest version of each
   * page, and leaves out those that are newer than what a reader sees. So the second table is written once more after the reader has
   * begun. In no committed state is the mark not complete: a crash at any moment leaves a WAL that makes it so.
   */
  function mark(reader: Database.Database, files: MarkedFiles): void {
    // The checkpoint has the WAL on disk before it writes into the file.
    database.pragma('synchronous = normal')
    try {
      if (!writeNext()) return
      unlessPassing(undefined, () => {
        reader.exec('begin')
        reader.prepare(`select 1 from ${TABLE}`).get()
      })
      if (write(() => replaceComplete.run(2))) take()
    } finally {
      if (reader.inTransaction) reader.exec('rollback')
      database.pragma('synchronous = full')
    }
    // SQLite itself does that only after a whole checkpoint.
    files.sync()
  }

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
    checkpoint(files) {
      // While a connection reads an older state, marks would only make the WAL longer.
      if (isHeld) {
        const taken = take()
        isHeld = !taken.isWhole
        if (isHeld) return taken
      }
      // With a number that no copy made before can have.
      if (!writeNext()) return take()
      const taken = take()
      isHeld = !taken.isWhole
      if (isHeld) return taken
      inFile = last.number
      files.assert()
      if (reader !== null) mark(reader, files)
      return taken
    },
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

/** Makes a copy complete by itself: it is none of the daemon's files. */
export function unmark(database: Database.Database): void {
  const hasTable = database.prepare('select 1 from sqlite_schema where name = ?')
  for (const table of [TABLE, COMPLETE_TABLE])
    if (hasTable.get(table) !== undefined) database.exec(`delete from ${table}`)
}
