import { isUtf8 } from 'node:buffer'
import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  openSync,
  readlinkSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeSync,
} from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { RelayError } from './domain/errors.ts'

/*
 * Files that a command reads and writes, perhaps as root, perhaps in a directory that another user can change. A path
 * name may lead somewhere else at every use, so the directory is opened once and everything else happens on
 * descriptors: names are resolved in the open directory, owner and mode are set on the open file.
 *
 * Node has no openat. On Linux, `/proc/self/fd/N/NAME` is its equivalent. Elsewhere the real path of the directory is
 * used, and the directory is compared with the open one before a file gets its name.
 */

/** Bytes of a file with a secret, a key or a certificate chain. */
export const LARGEST_SMALL_FILE = 1024 * 1024

const LINE_FEED = 0x0a
const MOST_LINKS = 40
const ROOT = 0
const GROUP_WRITE = 0o020
const OTHERS_WRITE = 0o002
const STICKY = 0o1000
/** Linux only, and missing in `fs.constants`. Opens the name itself: no permission, no device, no FIFO is involved. */
const O_PATH = 0o10000000

export interface Owner {
  readonly uid: number
  readonly gid: number
}

const isRoot = () => process.geteuid?.() === ROOT
const hasProc = process.platform === 'linux' && statSync('/proc/self/fd', { throwIfNoEntry: false }) !== undefined

/** A directory that stays the same one whatever happens to its path. */
export class HeldDirectory {
  readonly #fd: number
  readonly #real: string
  readonly #isStable: boolean
  readonly stats: Stats

  /**
   * As root, the path is followed one component at a time: a symbolic link that a user put there must lead to a
   * directory of the same user, and nothing may be replaceable by everybody. Throws errors of `node:fs`, or
   * `file_unwritable` where the path cannot be trusted.
   */
  static open(path: string): HeldDirectory {
    const absolute = resolve(path)
    return hasProc
      ? new HeldDirectory(isRoot() ? openTrusted(absolute) : openDirectory(absolute), absolute, true)
      : new HeldDirectory(openDirectory(absolute), realpathSync(absolute), false)
  }

  private constructor(fd: number, real: string, isStable: boolean) {
    this.#fd = fd
    this.#real = real
    this.#isStable = isStable
    this.stats = fstatSync(fd)
  }

  /** A path by which a name in this directory can be opened, renamed or removed. */
  path(name: string): string {
    return this.#isStable ? `/proc/self/fd/${this.#fd}/${name}` : join(this.#real, name)
  }

  /** Throws `file_unwritable` where the directory has been moved or replaced, which matters only without `/proc`. */
  assertSame(): void {
    if (this.#isStable) return
    const now = statSync(this.#real, { throwIfNoEntry: false })
    if (now?.ino === this.stats.ino && now.dev === this.stats.dev) return
    throw new RelayError('file_unwritable', `the directory ${this.#real} was replaced meanwhile`)
  }

  /** Names are on disk only with their directory. */
  sync(): void {
    fsyncSync(this.#fd)
  }

  close(): void {
    closeSync(this.#fd)
  }
}

/** Holds the directory of a file for as long as `use` runs. */
export function inDirectoryOf<T>(path: string, use: (directory: HeldDirectory, name: string) => T): T {
  const directory = HeldDirectory.open(dirname(resolve(path)))
  try {
    return use(directory, basename(path))
  } finally {
    directory.close()
  }
}

/** The text of a file, and what `fstat` says of the file that was read. */
export interface SmallFile {
  readonly text: string
  readonly stats: Stats
}

/**
 * Reads a regular file of at most `maxBytes`. Never waits: opening a FIFO returns at once. Throws errors of `node:fs`, also
 * with the codes `EISDIR`, `ENOTREG` (a FIFO, socket or device), `EFBIG`, `EILSEQ` (not UTF-8), and as root `EUNTRUSTED`
 * (a user's symbolic link to a file that is not theirs). A byte order mark is left out. No message quotes the file.
 */
export function readSmallFile(path: string, maxBytes = LARGEST_SMALL_FILE): SmallFile {
  const { bytes, stats } = readSmallBytes(path, maxBytes)
  return { text: utf8Text(bytes), stats }
}

/** As `readSmallFile`, for a file that may not be text. */
export function readSmallBytes(path: string, maxBytes = LARGEST_SMALL_FILE): { bytes: Buffer; stats: Stats } {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  try {
    const stats = fstatSync(fd)
    if (stats.isDirectory()) throw fault('EISDIR')
    if (!stats.isFile()) throw fault('ENOTREG')
    if (isRoot()) assertOwnLink(path, stats)
    if (stats.size > maxBytes) throw fault('EFBIG')
    return { bytes: readUpTo(fd, maxBytes), stats }
  } finally {
    closeSync(fd)
  }
}

/** `size` is 0 for files such as those in `/proc`, so what is read is bounded too. */
function readUpTo(fd: number, maxBytes: number): Buffer {
  const chunks: Buffer[] = []
  for (let total = 0; ; ) {
    const chunk = Buffer.alloc(64 * 1024)
    const bytes = readSync(fd, chunk)
    if (bytes === 0) return Buffer.concat(chunks)
    total += bytes
    if (total > maxBytes) throw fault('EFBIG')
    chunks.push(chunk.subarray(0, bytes))
  }
}

/** Decodes UTF-8 and leaves out a byte order mark. Throws an error with the code `EILSEQ` and the `line` that is not UTF-8, from 1. */
export function utf8Text(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw Object.assign(fault('EILSEQ'), { line: firstOtherLine(bytes) })
  }
}

function firstOtherLine(bytes: Uint8Array): number {
  let [line, start] = [1, 0]
  for (let end = bytes.indexOf(LINE_FEED); end !== -1; end = bytes.indexOf(LINE_FEED, start)) {
    if (!isUtf8(bytes.subarray(start, end))) break
    line += 1
    start = end + 1
  }
  return line
}

/** Root may read everything, so a user's link must not make it read a file that the user could not. */
function assertOwnLink(path: string, target: Stats): void {
  const link = lstatSync(path)
  if (link.isSymbolicLink() && link.uid !== ROOT && link.uid !== target.uid) throw fault('EUNTRUSTED')
}

function fault(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(code), { code })
}

export interface Replacement {
  /** Permissions of the file, whatever the umask. */
  readonly mode: number
  /** A file whose owner a new file gets; only root can give files away. */
  readonly like?: string
}

/**
 * Puts a text in the place of a file, or makes the file: a reader sees the old or the new text, whole. The file keeps its
 * owner. Throws `file_unwritable`, also where the file is a symbolic link or not a regular file, and as root where
 * another user could choose who owns the new file.
 */
export function replaceFile(path: string, text: string, { mode, like = path }: Replacement): void {
  explained(path, () =>
    inDirectoryOf(path, (directory, name) => {
      const before = lstatSync(directory.path(name), { throwIfNoEntry: false })
      if (before?.isSymbolicLink()) throw unwritable(path, 'it is a symbolic link: name the file that it leads to')
      if (before !== undefined && !before.isFile()) throw unwritable(path, 'it is not a regular file')
      const owner = isRoot() ? ownerOfNew(path, directory.stats, before, like) : undefined
      const partial = directory.path(`.${name}.${process.pid}.new`)
      // Left by a process of the same number that crashed.
      rmSync(partial, { force: true })
      try {
        writeNew(partial, text, mode, owner)
        directory.assertSame()
        renameSync(partial, directory.path(name))
        directory.sync()
      } catch (error) {
        rmSync(partial, { force: true })
        throw error
      }
    }),
  )
}

/** Makes a file and writes it to disk. Throws `file_exists` where the name is taken, else `file_unwritable`. */
export function createFile(path: string, text: string, mode: number): void {
  explained(path, () =>
    inDirectoryOf(path, (directory, name) => {
      writeNew(directory.path(name), text, mode, undefined)
      directory.sync()
    }),
  )
}

/** Removes a file if it is there. Throws `file_unwritable`. */
export function removeFile(path: string): void {
  explained(path, () =>
    inDirectoryOf(path, (directory, name) => {
      directory.assertSame()
      rmSync(directory.path(name), { force: true })
      directory.sync()
    }),
  )
}

/**
 * Whether users other than root can put another file in the place of one that root has made in this directory. In a sticky
 * directory of root, such as /tmp, they cannot.
 */
export function isReplaceable({ uid, gid, mode }: Stats): boolean {
  if (uid !== ROOT) return true
  const isSticky = (mode & STICKY) !== 0
  return !isSticky && ((mode & OTHERS_WRITE) !== 0 || ((mode & GROUP_WRITE) !== 0 && gid !== ROOT))
}

function writeNew(path: string, text: string, mode: number, owner: Owner | undefined): void {
  const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600)
  try {
    const bytes = Buffer.from(text)
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at)
    // The mode last: changing the owner may clear bits of it.
    if (owner !== undefined) fchownSync(fd, owner.uid, owner.gid)
    fchmodSync(fd, mode)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/**
 * The owner of the old file, else of `like`, else of the directory. Where others can change the directory, a
 * user may have put the old file there to be given the new one.
 */
function ownerOfNew(path: string, directory: Stats, before: Stats | undefined, like: string): Owner {
  const model = like === path ? undefined : lstatSync(like, { throwIfNoEntry: false })
  const wanted = model?.isFile() ? model : undefined
  const { uid, gid, mode } = directory
  const owner = before ?? wanted ?? (uid === ROOT ? { uid: ROOT, gid: ROOT } : directory)
  if (uid === ROOT && (mode & (GROUP_WRITE | OTHERS_WRITE)) === 0) return owner
  const isSticky = (mode & STICKY) !== 0
  if (!isSticky && (mode & OTHERS_WRITE) !== 0) {
    throw unwritable(path, 'every user can change its directory: chmod o-w the directory')
  }
  if (!isSticky && (mode & GROUP_WRITE) !== 0 && ![ROOT, owner.gid].includes(gid)) {
    throw unwritable(path, `group ${gid} can change its directory: chmod g-w the directory`)
  }
  const isTrusted = [ROOT, uid, wanted?.uid].includes(owner.uid)
  if (isTrusted && [ROOT, owner.uid].includes(uid)) return owner
  throw unwritable(
    path,
    `user ${owner.uid} owns the file and user ${uid} its directory: chown both to the user the relay runs as`,
  )
}

function openDirectory(path: string): number {
  return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)
}

/** Opens a directory as root without being led to one that the user who could change the path does not own anyway. */
function openTrusted(path: string): number {
  const parts = path.split('/').filter((part) => part !== '')
  let fd = openDirectory('/')
  let links = 0
  /** The user whose link was followed. */
  let linkedBy: number | undefined
  try {
    while (parts.length > 0) {
      const part = parts.shift()!
      const at = `/proc/self/fd/${fd}/${part}`
      const entry = lstatSync(at)
      const parent = fstatSync(fd)
      if (entry.isSymbolicLink()) {
        if (++links > MOST_LINKS) throw fault('ELOOP')
        if (entry.uid !== ROOT || isReplaceable(parent)) linkedBy ??= entry.uid
        const to = readlinkSync(at)
        parts.unshift(...to.split('/').filter((each) => each !== ''))
        if (to.startsWith('/')) fd = swapped(fd, openDirectory('/'))
      } else {
        fd = swapped(fd, openSync(at, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW))
      }
    }
    const end = fstatSync(fd)
    if (linkedBy !== undefined && (linkedBy === ROOT || linkedBy !== end.uid)) {
      throw unwritable(path, `a symbolic link of user ${linkedBy} leads to a directory of user ${end.uid}`)
    }
    return fd
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

function swapped(before: number, after: number): number {
  closeSync(before)
  return after
}

/** Sets the permissions of a unix socket; throws where the name leads to something else. */
export function setSocketMode(path: string, mode: number): void {
  if (!hasProc) {
    chmodSync(path, mode)
    return
  }
  const fd = openSync(path, O_PATH | constants.O_NOFOLLOW)
  try {
    if (!fstatSync(fd).isSocket()) throw fault('ENOTSOCK')
    chmodSync(`/proc/self/fd/${fd}`, mode)
  } finally {
    closeSync(fd)
  }
}

function explained(path: string, work: () => void): void {
  try {
    work()
  } catch (error) {
    if (error instanceof RelayError) throw error
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') throw new RelayError('file_exists', `${path} exists already`, { cause: error })
    throw unwritable(path, fileProblem(code), error)
  }
}

function unwritable(path: string, reason: string, cause?: unknown): RelayError {
  return new RelayError('file_unwritable', `${path} cannot be written: ${reason}`, { cause })
}

/** What an error code of a file means, to follow "cannot be read: ". */
export function fileProblem(code: unknown): string {
  return PROBLEMS[String(code)] ?? String(code ?? 'unknown error')
}

/** What keeps a file from being read, by the error of `readSmallFile`. */
export function readingProblem(error: unknown): string {
  const { code, line } = (error ?? {}) as { code?: unknown; line?: number }
  if (code === 'ENOENT') return 'there is none'
  if (code !== 'EILSEQ' || line === undefined) return fileProblem(code)
  return `it is not UTF-8 text, first in line ${line}; iconv -f LATIN1 -t UTF-8 makes it of Latin-1`
}

const PROBLEMS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such directory',
  ENOTDIR: 'a part of the path is not a directory',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EIO: 'an input/output error of the device',
  EROFS: 'the file system is read-only',
  ENOSPC: 'no space left on the disk',
  EDQUOT: "the user's disk quota is used up",
  EISDIR: 'it is a directory',
  ELOOP: 'it is a symbolic link, or symbolic links lead in a circle',
  ENAMETOOLONG: 'the name is too long',
  ENOTREG: 'it is not a regular file',
  EFBIG: 'it is too large',
  EILSEQ: 'it is not UTF-8 text',
  EUNTRUSTED: 'it is a symbolic link of a user to a file of another, which root does not follow',
}
