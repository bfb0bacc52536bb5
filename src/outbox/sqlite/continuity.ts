import { closeSync, openSync } from 'node:fs'
import { RelayError } from '../../domain/errors.ts'
import { DAMAGED } from './faults.ts'
import { readHeader } from './file-format.ts'
import { isOpenElsewhere } from './instance.ts'
import { type FileMark, type Mark, markId, markInFile, readWal, type WalContent } from './mark.ts'

const LOOKS = 3
const LOOK_AGAIN_MS = 20

/** How the database file and the WAL beside it go together. */
export type Continuity =
  | { readonly kind: 'whole' }
  /** The WAL is missing. `since`: epoch milliseconds from which on something may be missing. */
  | { readonly kind: 'without WAL'; readonly since: number }
  /** The WAL is missing, and a relay runs that has the file open by another path. */
  | { readonly kind: 'open elsewhere' }
  /** The WAL is that of another database, or of another version of this one. */
  | { readonly kind: 'foreign WAL' }
  /** The file is damaged where its mark should be. */
  | { readonly kind: 'damaged' }

/**
 * Compares the marks in a database file and its WAL. Opens both: not to be called in a process that has the database open,
 * for to close a file gives up all locks of the process on it. A file without a mark goes with any WAL that does not follow
 * another mark.
 */
export function continuityOf(path: string): Continuity {
  const wait = new Int32Array(new SharedArrayBuffer(4))
  for (let look = 1; ; look++) {
    const file = openSync(path, 'r')
    try {
      const continuity = continuityOfFile(file, path)
      // A command or an operator's sqlite3 that ends may have written the WAL into the file and removed it in between.
      if (continuity.kind === 'whole' || look === LOOKS) return continuity
    } finally {
      closeSync(file)
    }
    Atomics.wait(wait, 0, 0, LOOK_AGAIN_MS)
  }
}

/** The same for a database file that is open as `file` already, so that no lock is given up. */
export function continuityOfFile(file: number, path: string): Continuity {
  const header = readHeader(file)
  if (header === null) return { kind: 'whole' }
  const mark = markInFile(file)
  const { marks, isEmpty, isRestarted } = walOf(path)
  // With the WAL, SQLite repairs what a crash has cut off, and an outbox whose storage has failed is checked as a whole.
  if (mark === 'damaged') return { kind: isEmpty ? 'damaged' : 'whole' }
  if (marks.length > 0) return { kind: belongs(mark, marks) ? 'whole' : 'foreign WAL' }
  // A crash, a full disk or a lock may keep the first mark out of a WAL that is begun once more.
  if (mark === null || mark.isComplete || isRestarted) return { kind: 'whole' }
  return isOpenElsewhere(file) ? { kind: 'open elsewhere' } : { kind: 'without WAL', since: mark.markedAt }
}

/**
 * Whether a file with this mark goes with a WAL that has those marks. A WAL is begun once more only when the file has all of it, and so
 * a mark that is complete.
 */
export function belongs(mark: FileMark | null, marks: readonly Mark[]): boolean {
  if (mark === null) return marks[0]?.previous === ''
  const id = markId(mark)
  return marks.some((one) => markId(one) === id || (mark.isComplete && one.previous === id))
}

function walOf(path: string): WalContent {
  let wal: number
  try {
    wal = openSync(`${path}-wal`, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return { marks: [], isEmpty: true, isRestarted: false }
  }
  try {
    return readWal(wal)
  } finally {
    closeSync(wal)
  }
}

/**
 * Throws `outbox_locked` where a relay has the file open by another path, and `outbox_unusable` where acknowledged events are missing because the WAL is, or where the WAL cannot be that of the
 * file. SQLite takes a missing WAL for an empty one, and writes the pages of any other into the file. See `continuityOf`.
 */
export function assertContinuous(path: string): void {
  const continuity = continuityOf(path)
  if (continuity.kind !== 'whole') throw problemOf(continuity, path)
}

/** The error to throw. */
export function problemOf(continuity: Exclude<Continuity, { kind: 'whole' }>, path: string): RelayError {
  if (continuity.kind !== 'open elsewhere') return new RelayError('outbox_unusable', explained(continuity, path))
  const message = `another relay is running on the outbox ${path}, which it has opened by another path: stop it first`
  return new RelayError('outbox_locked', message)
}

function explained(continuity: Exclude<Continuity, { kind: 'whole' | 'open elsewhere' }>, path: string): string {
  if (continuity.kind === 'damaged') return `the outbox ${path} is damaged; ${DAMAGED}`
  if (continuity.kind === 'foreign WAL') {
    return (
      `the WAL ${path}-wal does not belong to the outbox ${path}, which was replaced or overwritten with another file: put the ` +
      'file back that the WAL belongs to, or restore a backup with `ultravox-relay restore FILE`, which keeps both'
    )
  }
  const since = new Date(continuity.since).toISOString()
  return (
    `the WAL of the outbox ${path} (${path}-wal) is missing or was emptied, and no relay has closed the outbox ` +
    '(one may still run on it by another path, as in a container). ' +
    `What was acknowledged since ${since} is lost with it. Put it back; or restore a backup with \`ultravox-relay restore FILE\`; or, to ` +
    'go on without those events, run `ultravox-relay restore --without-wal`, then ' +
    `\`ultravox-relay backfill --from ${since}\``
  )
}
