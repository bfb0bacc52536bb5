import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  openSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
} from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { HOME_PROBLEM, isHomePath } from '../config/home-path.ts'
import { RelayError } from '../domain/errors.ts'
import { PARTIAL_SUFFIXES, partialName } from '../partial-file.ts'
import { HeldDirectory, isReplaceable, linkTarget, problemAt } from '../safe-file.ts'

/** Where a file is to be written. Throws `usage` where none can be, or `force` is needed. */
export function newFilePath(asked: string, force: boolean): string {
  if (asked === '') throw new RelayError('usage', 'the name of the file is empty')
  if (isHomePath(asked)) throw new RelayError('usage', `${asked} ${HOME_PROBLEM}`)
  const file = targetOf(asked)
  const there = statSync(file, { throwIfNoEntry: false })
  if (there?.isDirectory()) throw new RelayError('usage', `${asked} is a directory: name a file in it`)
  if (there !== undefined && !there.isFile()) throw new RelayError('usage', `${asked} is no regular file`)
  if (there !== undefined && !force) refuseExisting(asked)
  return file
}

/** Where symbolic links lead, also to a file that is not there yet. */
function targetOf(asked: string): string {
  try {
    return linkTarget(asked)
  } catch (error) {
    if (error instanceof RelayError) throw error
    // The directory is missing; opening it says so.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return resolve(asked)
    throw cannotWrite(asked, asked, error)
  }
}

/**
 * Writes a file, readable by its owner only, that is there whole or not at all: `write` fills an empty one beside it, which
 * takes its place once it is on disk. When something fails, or `signal` ends it, nothing is left behind. Throws `file_unwritable`
 * where the disk fails after the file has got its name.
 */
export async function writeWhole<T>(
  file: string,
  force: boolean,
  signal: AbortSignal,
  write: (path: string) => Promise<T>,
): Promise<T> {
  const directory = open(dirname(file))
  const name = basename(file)
  const partial = partialName()
  try {
    refuseReplaceable(dirname(file), directory)
    const fd = createEmpty(directory.path(partial), dirname(file))
    try {
      // SQLite opens it by its path. The descriptor proves afterwards that it was this file.
      const written = await write(join(dirname(file), partial))
      orCannotWrite(file, () => fsyncSync(fd))
      assertSame(fstatSync(fd), lstatSync(directory.path(partial)), file)
      signal.throwIfAborted()
      // Checked again: another process may have created it meanwhile.
      if (!force && existsSync(directory.path(name))) refuseExisting(file)
      directory.assertSame()
      orCannotWrite(file, () => renameSync(directory.path(partial), directory.path(name)))
      syncNames(file, directory)
      return written
    } finally {
      closeSync(fd)
      for (const suffix of PARTIAL_SUFFIXES) rmSync(directory.path(`${partial}${suffix}`), { force: true })
    }
  } finally {
    directory.close()
  }
}

function orCannotWrite(file: string, work: () => void): void {
  try {
    work()
  } catch (error) {
    throw cannotWrite(file, file, error)
  }
}

function syncNames(file: string, directory: HeldDirectory): void {
  try {
    directory.sync()
  } catch (error) {
    const problem = problemAt(file, (error as NodeJS.ErrnoException).code)
    throw new RelayError('file_unwritable', `${file} may not survive a power cut: ${problem}`, { cause: error })
  }
}

/** SQLite works by path names, so root must be the only one who can put another file in the place of the copy. */
function refuseReplaceable(path: string, { stats }: HeldDirectory): void {
  if (process.geteuid?.() !== 0 || !isReplaceable(stats)) return
  const who = stats.uid === 0 ? 'other users can' : `user ${stats.uid} can`
  throw new RelayError(
    'file_unwritable',
    `root does not write into ${path}, because ${who} put links there: name a directory that only root can change, or run this as the user who owns the directory`,
  )
}

function assertSame(open: Stats, named: Stats, file: string): void {
  if (open.ino === named.ino && open.dev === named.dev && open.nlink === 1) return
  throw new RelayError('file_unwritable', `${file} was not written: its directory was changed meanwhile`)
}

function refuseExisting(file: string): never {
  throw new RelayError('usage', `${file} is there already: name another file, or say --force to replace it`)
}

function open(path: string): HeldDirectory {
  try {
    return HeldDirectory.open(path)
  } catch (error) {
    throw error instanceof RelayError ? error : cannotWrite(`into ${path}`, path, error)
  }
}

function createEmpty(path: string, directory: string): number {
  try {
    return openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600)
  } catch (error) {
    throw cannotWrite(`into ${directory}`, directory, error)
  }
}

function cannotWrite(what: string, path: string, error: unknown): RelayError {
  const why = problemAt(path, (error as NodeJS.ErrnoException).code)
  return new RelayError('usage', `cannot write ${what}: ${why}`, { cause: error })
}
