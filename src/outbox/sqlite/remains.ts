import { closeSync, lstatSync, openSync, readdirSync, readSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import type Database from 'better-sqlite3'
import { RelayError } from '../../domain/errors.ts'
import { fileProblem, HeldDirectory, isReplaceable } from '../../safe-file.ts'
import { lockFileOf } from '../lock-file.ts'
import { DAMAGED, unusable } from './faults.ts'

/** What a write-ahead log has before its first frame. */
const LOG_HEADER_BYTES = 32

/** Where the header of a database says how it is written: 1 with a rollback journal, 2 with a write-ahead log. */
const WRITE_VERSION_AT = 18
const WITH_ROLLBACK_JOURNAL = 1

/** Whether there is nothing at `path`, or a file without a byte: to SQLite, both are a new database. */
export function isEmpty(path: string): boolean {
  return sizeOf(path) === 0
}

/** The directories beside an outbox to which restores have moved it are named so, with the time after it. */
export const REPLACED = '-replaced-'

/** The latest of them; undefined where there is none. */
function replacedBeside(path: string): string | undefined {
  const names = readdirSync(dirname(path)).filter((name) => name.startsWith(`${basename(path)}${REPLACED}`))
  const [latest] = names.sort().reverse()
  return latest === undefined ? undefined : join(dirname(path), latest)
}

/**
 * Throws `outbox_unusable` where an empty file stands, or nothing, in the place of an outbox that was there. SQLite would make a
 * new one and delete the log of the old.
 */
export function assertNotGone(path: string): void {
  if (!isEmpty(path)) return
  const replaced = replacedBeside(path)
  const where = replaced === undefined ? '' : `, perhaps from ${replaced}, where an interrupted restore has moved it`
  throw unusable(
    `the outbox ${path} is gone or empty, and there was one: put it back${where}, with its WAL if that is still there; or restore a ` +
      `backup with \`ultravox-relay restore FILE\`; or, to begin with an empty outbox, move away ${path}-wal and ${lockFileOf(path)}`,
  )
}

/**
 * Throws `outbox_unusable` where the storage failed in the last run and something is damaged: to go on would be to acknowledge
 * what may not be found again. Reads the whole file, about half a gigabyte a second.
 */
export function assertSound(database: Database.Database): void {
  const verdict = database.pragma('quick_check(1)', { simple: true }) as string
  if (verdict === 'ok') return
  throw unusable(`the outbox ${database.name} is damaged (${verdict.replaceAll('\n', ' ')}); ${DAMAGED}`)
}

/**
 * Throws `outbox_unusable` where the log beside an outbox cannot be its own: a backup has none, so the log was left behind by
 * what it was put in the place of, and SQLite would write that one's pages into it. Reads the file: not to be called in
 * a process that has it open, for to close a file gives up all locks of the process on it. The log of a copy made by other
 * means than `backup` cannot be told from its own.
 */
export function assertOwnLog(path: string): void {
  const log = `${path}-wal`
  if (sizeOf(log) <= LOG_HEADER_BYTES || writeVersion(path) !== WITH_ROLLBACK_JOURNAL) return
  throw unusable(
    `${log} is the log of another outbox, left behind by the one that ${path} was put in the place of: ` +
      `move ${log} and ${path}-shm away, or run \`ultravox-relay restore FILE\` with the backup, which keeps them`,
  )
}

/**
 * As root, throws `outbox_unusable` where a link of another user leads to the outbox, or to the nearest directory above it that
 * is there, and not to what is that user's own.
 */
export function assertTrustedPath(path: string): void {
  if (process.geteuid?.() !== 0) return
  let directory = dirname(resolve(path))
  while (lstatSync(directory, { throwIfNoEntry: false }) === undefined) directory = dirname(directory)
  try {
    HeldDirectory.open(directory).close()
  } catch (error) {
    const reason = error instanceof RelayError ? error.message : fileProblem((error as NodeJS.ErrnoException).code)
    throw unusable(`cannot open the outbox ${path} for writing: ${reason}`)
  }
  const link = lstatSync(path, { throwIfNoEntry: false })
  if (link?.isSymbolicLink() !== true || link.uid === 0) return
  if (statSync(path, { throwIfNoEntry: false })?.uid === link.uid) return
  throw unusable(
    `the outbox ${path} is a symbolic link of user ${link.uid} to a file of another user: root does not follow it`,
  )
}

/** SQLite's own files of a database. */
const COMPANIONS = ['', '-wal', '-shm', '-journal']

/**
 * As root, throws `outbox_unusable` where another user may have put something in the place of one of the outbox's files.
 * SQLite, run as root, gives the file that it finds as `-wal` to the owner of the database: measured with a hard link to
 * a file of root, which then belonged to the relay's user. `path` has no links in it.
 */
export function assertNotPlanted(path: string): void {
  if (process.geteuid?.() !== 0) return
  const directory = statSync(dirname(path))
  if (!isReplaceable(directory)) return
  const owner = lstatSync(path, { throwIfNoEntry: false })?.uid
  for (const file of [...COMPANIONS.map((suffix) => `${path}${suffix}`), lockFileOf(path)]) {
    const found = lstatSync(file, { throwIfNoEntry: false })
    if (found === undefined) continue
    // The owner of the directory can change a file of their own anyway.
    const isOf = (uid: number | undefined) => found.isFile() && found.uid === uid
    if (isOf(directory.uid) || ((isOf(0) || (isOf(owner) && file !== path)) && found.nlink === 1)) continue
    throw unusable(
      `${file} is a link or of another user, which root does not open in a directory of user ${directory.uid}: ` +
        'remove it, or run this as the user that the relay runs as',
    )
  }
}

function writeVersion(path: string): number | undefined {
  const header = Buffer.alloc(WRITE_VERSION_AT + 1)
  const file = openSync(path, 'r')
  try {
    return readSync(file, header) < header.length ? undefined : header[WRITE_VERSION_AT]
  } finally {
    closeSync(file)
  }
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}
