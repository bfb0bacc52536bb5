import { closeSync, existsSync, fsyncSync, openSync, realpathSync, renameSync, rmSync, statSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { RelayError } from '../domain/errors.ts'

/** What a file being written may leave beside it while SQLite works on it. */
const SIDE_FILES = ['', '-journal', '-wal', '-shm']

/** Where a file is to be written. Throws `usage` where none can be, or `force` is needed. */
export function newFilePath(asked: string, force: boolean): string {
  if (asked === '') throw new RelayError('usage', 'the name of the file is empty')
  const file = existsSync(asked) ? realpathSync(asked) : resolve(asked)
  const there = statSync(file, { throwIfNoEntry: false })
  if (there?.isDirectory()) throw new RelayError('usage', `${asked} is a directory: name a file in it`)
  if (there !== undefined && !there.isFile()) throw new RelayError('usage', `${asked} is no regular file`)
  if (there !== undefined && !force) refuseExisting(asked)
  return file
}

/**
 * Writes a file, readable by its owner only, that is there whole or not at all: `write` fills an empty one beside it, which
 * takes its place once it is on disk. When something fails, or `signal` ends it, nothing is left behind.
 */
export async function writeWhole<T>(
  file: string,
  force: boolean,
  signal: AbortSignal,
  write: (path: string) => Promise<T>,
): Promise<T> {
  const partial = join(dirname(file), `.${basename(file)}.${process.pid}.partial`)
  createEmpty(partial)
  try {
    const written = await write(partial)
    const handle = await open(partial)
    await handle.sync()
    await handle.close()
    signal.throwIfAborted()
    // Looked again, for somebody may have made it meanwhile.
    if (!force && existsSync(file)) refuseExisting(file)
    renameSync(partial, file)
    syncDirectory(dirname(file))
    return written
  } finally {
    for (const suffix of SIDE_FILES) rmSync(`${partial}${suffix}`, { force: true })
  }
}

function refuseExisting(file: string): never {
  throw new RelayError('usage', `${file} is there already: name another file, or say --force to replace it`)
}

function createEmpty(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600))
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const why = code === 'ENOENT' ? 'there is no such directory' : code === 'EACCES' ? 'permission denied' : code
    throw new RelayError('usage', `cannot write into ${dirname(path)}: ${why}`, { cause: error })
  }
}

/** The new name is on disk only with its directory. */
function syncDirectory(path: string): void {
  const directory = openSync(path, 'r')
  fsyncSync(directory)
  closeSync(directory)
}
