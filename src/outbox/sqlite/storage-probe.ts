import { closeSync, constants, fsyncSync, openSync, rmSync, statfsSync, statSync, writeSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { errorMessage, RelayError } from '../../domain/errors.ts'
import { onFileSystem } from '../../file-system.ts'
import { PARTIAL_SUFFIXES, partialName } from '../../partial-file.ts'
import { isReplaceable, problemAt } from '../../safe-file.ts'
import { openDatabase } from './driver.ts'

/** What an outbox needs of its file system, in the order in which it is tried. */
export type Need = 'name' | 'create' | 'write' | 'lock' | 'share memory'

export interface StorageProblem {
  readonly need: Need
  /** A sentence with the file system and what to do. */
  readonly message: string
}

/** The longest suffix of the files that SQLite and the relay keep beside a database. */
const LONGEST_SUFFIX = '-journal'
const LONGEST_NAME = 255
/** Of SQLite's unix VFS, in bytes with the suffix. */
const LONGEST_PATH = 512

const SHARED_BYTES = 32_768

const MOVE = 'move the outbox to a local file system'

/**
 * Tries what an outbox at `path` needs on a new file beside it, to find what its file system cannot do: SQLite reports many of
 * these as a locked, unreadable or failing database. `advice`: what to do. Undefined where all of it works, or nothing may be tried there.
 */
export function storageProblem(path: string, advice = MOVE): StorageProblem | undefined {
  const directory = dirname(path)
  const tooLong = nameProblem(path)
  if (tooLong !== undefined) return { need: 'name', message: tooLong }
  // SQLite opens by path, where another user could put something else.
  if (process.geteuid?.() === 0 && isReplaceable(statSync(directory))) return undefined
  const probe = join(directory, partialName())
  try {
    return writingProblem(probe) ?? sqliteProblem(probe, advice)
  } finally {
    for (const suffix of PARTIAL_SUFFIXES) rmSync(`${probe}${suffix}`, { force: true })
  }
}

function nameProblem(path: string): string | undefined {
  if (Buffer.byteLength(`${basename(path)}${LONGEST_SUFFIX}`) > LONGEST_NAME) {
    return `the name ${basename(path)} is too long: with "${LONGEST_SUFFIX}" it has more than ${LONGEST_NAME} bytes`
  }
  const bytes = Buffer.byteLength(`${path}${LONGEST_SUFFIX}`)
  return bytes > LONGEST_PATH
    ? `its path is too long for SQLite: with "${LONGEST_SUFFIX}" it has ${bytes} bytes, and ${LONGEST_PATH} are allowed`
    : undefined
}

function writingProblem(probe: string): StorageProblem | undefined {
  const failed = (need: Need, error: unknown): StorageProblem => {
    const directory = dirname(probe)
    const problem = problemAt(directory, codeOf(error))
    const next = codeOf(error) === 'ENOSPC' ? '; make room on the disk' : ''
    return {
      need,
      message: `no file can be ${need === 'create' ? 'created' : 'written'} in ${directory}: ${problem}${next}`,
    }
  }
  let fd: number
  try {
    fd = openSync(probe, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600)
  } catch (error) {
    return failed('create', error)
  }
  try {
    writeSync(fd, Buffer.alloc(4_096))
    fsyncSync(fd)
    return undefined
  } catch (error) {
    return failed('write', error)
  } finally {
    closeSync(fd)
    rmSync(probe, { force: true })
  }
}

function sqliteProblem(probe: string, advice: string): StorageProblem | undefined {
  const database = openDatabase(probe, { timeout: 0 })
  try {
    database.exec('begin exclusive; create table probe (value); commit')
  } catch (error) {
    database.close()
    return isOfLocks(error)
      ? { need: 'lock', message: noLocks(probe, advice) }
      : otherProblem('lock', error, probe, advice)
  }
  try {
    database.pragma('journal_mode = wal')
    database.exec('insert into probe values (1)')
    return undefined
  } catch (error) {
    return codeOf(error).startsWith('SQLITE_IOERR_SHM') && !isFull(probe)
      ? { need: 'share memory', message: noSharedMemory(probe, advice) }
      : otherProblem('share memory', error, probe, advice)
  } finally {
    database.close()
  }
}

/** SQLite says that a database is locked where the kernel has no lock to give (ENOLCK). */
function isOfLocks(error: unknown): boolean {
  return /^SQLITE_(BUSY|PROTOCOL|NOLFS|IOERR_(LOCK|UNLOCK|RDLOCK|CHECKRESERVEDLOCK))/.test(codeOf(error))
}

function noLocks(path: string, advice: string): string {
  return `its file system does not support locks${onFileSystem(path)}: ${advice}, or mount it with locks`
}

function noSharedMemory(path: string, advice: string): string {
  const why = "its file system cannot share a file's memory between processes, which SQLite's WAL needs"
  return `${why}${onFileSystem(path)}: ${advice}`
}

function otherProblem(need: Need, error: unknown, path: string, advice: string): StorageProblem {
  if (codeOf(error) === 'SQLITE_FULL' || isFull(path)) {
    return { need: 'write', message: `its disk is full${onFileSystem(path)}; make room on the disk` }
  }
  return {
    need,
    message: `SQLite fails there with ${codeOf(error)} (${errorMessage(error)})${onFileSystem(path)}: ${advice}`,
  }
}

/** Whether its disk has no room for the 32 KB that SQLite shares, which it reports as a failure of the memory. */
function isFull(path: string): boolean {
  const { bavail, bsize } = statfsSync(dirname(path))
  return bavail * bsize < SHARED_BYTES
}

function codeOf(error: unknown): string {
  return String((error as { code?: unknown } | null)?.code ?? '')
}

/** As `storageProblem`, after an error: finding out more must not hide it. */
export function whyStorageFails(path: string, advice = MOVE): StorageProblem | undefined {
  try {
    return storageProblem(path, advice)
  } catch {
    return undefined
  }
}

export function cannotOpen(path: string, { message }: StorageProblem, cause: unknown): RelayError {
  return new RelayError('outbox_unusable', `cannot open the outbox ${path}: ${message}`, { cause })
}

/**
 * Explains an error of SQLite while the outbox at `path` was being opened, where its file system is the reason. Any other error
 * is returned as it is.
 */
export function explainedByStorage(error: unknown, path: string): unknown {
  if (error instanceof RelayError || !OF_STORAGE.test(codeOf(error))) return error
  const problem = whyStorageFails(path)
  if (problem !== undefined) return cannotOpen(path, problem, error)
  if (!codeOf(error).startsWith('SQLITE_IOERR_SHMMAP')) return error
  // The code says it all, also where nothing may be tried, or a file beside it could be mapped.
  return cannotOpen(path, { need: 'share memory', message: noSharedMemory(path, MOVE) }, error)
}

/** Not what a file holds (CORRUPT, NOTADB), but what became of it on the disk. */
const OF_STORAGE = /^SQLITE_(BUSY|CANTOPEN|FULL|IOERR|NOLFS|PERM|PROTOCOL|READONLY)/
