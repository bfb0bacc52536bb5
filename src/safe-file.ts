import { isUtf8 } from 'node:buffer'
import { execFileSync } from 'node:child_process'
import {
  accessSync,
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  openSync,
  readFileSync,
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
import { isOutOfInodes, onFileSystem } from './file-system.ts'
import { type Leftover, partialName, removeLeftovers } from './partial-file.ts'

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
const OTHERS = 0o007
/** Linux only, and missing in `fs.constants`. Opens the name itself: no permission, no device, no FIFO is involved. */
const O_PATH = 0o10000000

/** What a file system answers that has no such operation, or none for directories. Others, such as `EIO`, are failures. */
const CANNOT_SYNC: ReadonlySet<string> = new Set([
  ...['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'ENOTTY', 'EBADF', 'EACCES', 'EPERM', 'EISDIR'],
])

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

  /** Whether there is anything of this name, a link included. */
  has(name: string): boolean {
    return lstatSync(this.path(name), { throwIfNoEntry: false }) !== undefined
  }

  /** The directory's own path, free of symbolic links, as it is now. */
  get realPath(): string {
    return this.#isStable ? readlinkSync(`/proc/self/fd/${this.#fd}`) : this.#real
  }

  /**
   * Names are on disk only with their directory. Some file systems (CIFS, vboxsf, FUSE) cannot flush a directory and say so: there,
   * nothing more can be done. Throws errors of `node:fs` where the device fails.
   */
  sync(): void {
    try {
      fsyncSync(this.#fd)
    } catch (error) {
      if (!CANNOT_SYNC.has((error as NodeJS.ErrnoException).code ?? '')) throw error
    }
  }

  /** See `removeLeftovers`. */
  removeLeftovers(): Leftover[] {
    return removeLeftovers(this.realPath, (name) => this.path(name))
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

/** `file`: what links at `path` lead to, as far as they have been followed. */
type AccessListener = (path: string | null, file: string | null) => void

let announce: AccessListener | undefined

/** Calls `listener` with each path of the configuration before its file system is asked, and with null when that has answered. */
export function announceAccess(listener: AccessListener): void {
  announce = listener
}

/** Announces what `work` asks the file system of `path`, see `announceAccess`. */
export function accessing<T>(path: string, work: () => T): T {
  if (announce === undefined) return work()
  announce(path, path)
  try {
    announceLinks(path, announce)
    return work()
  } finally {
    announce(null, null)
  }
}

/** A link is on another file system than the file that does not answer. */
function announceLinks(path: string, listener: AccessListener): void {
  let file: string | undefined = resolve(path)
  for (let links = 0; links < MOST_LINKS; links += 1) {
    file = withoutFirstLink(file)
    if (file === undefined) return
    listener(path, file)
  }
}

/** `path` with its first component that is a symbolic link replaced; undefined where there is none. */
function withoutFirstLink(path: string): string | undefined {
  // Descriptors, and those of another process than this one.
  if (/^\/(dev|proc)\//.test(path)) return undefined
  const parts = path.split('/')
  for (let end = 2; end <= parts.length; end += 1) {
    const prefix = parts.slice(0, end).join('/')
    try {
      return resolve(dirname(prefix), readlinkSync(prefix), ...parts.slice(end))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EINVAL') return undefined
    }
  }
  return undefined
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
  return accessing(path, () => readNow(path, maxBytes))
}

function readNow(path: string, maxBytes: number): { bytes: Buffer; stats: Stats } {
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
  let at = path
  for (let links = 0; links <= MOST_LINKS; links += 1) {
    const link = lstatSync(at, { throwIfNoEntry: false })
    if (link?.isSymbolicLink() !== true) return
    if (link.uid !== ROOT && link.uid !== target.uid) throw fault('EUNTRUSTED')
    at = resolve(realpathSync(dirname(at)), readlinkSync(at))
  }
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
 * Puts a text in the place of a file, or makes the file: a reader sees the old or the new text, whole. Symbolic links are
 * followed, and stay: what they lead to is replaced, in its own directory. The file keeps its owner, its extended attributes where
 * `cp` can copy them, and its permissions unless other users have any. Throws `file_unwritable`, also for what is not a regular file
 * or cannot be replaced without a trace: a file with several names, a mounted one, one that Kubernetes manages. As root also
 * where another user could choose what is replaced, or who owns the new file.
 */
export function replaceFile(path: string, text: string, { mode, like = path }: Replacement): void {
  const file = followed(path)
  explained(path, file, () => {
    inDirectoryOf(file, (directory, name) => {
      const before = lstatSync(directory.path(name), { throwIfNoEntry: false })
      if (before !== undefined) assertReplaceable(named(path, file), before)
      assertLedTo(path, before)
      const owner = isRoot() ? ownerOfNew(file, directory.stats, before, like) : undefined
      removeLeftoversOf(directory)
      const partial = directory.path(partialName())
      try {
        writeNew(partial, text, {
          mode: modeOfNew(mode, before ?? modelOf(path, like)),
          owner,
          // Its mode is among them, and the text must never be for everybody.
          like: before !== undefined && (before.mode & OTHERS) === 0 ? directory.path(name) : undefined,
        })
        directory.assertSame()
        renameSync(partial, directory.path(name))
      } catch (error) {
        rmSync(partial, { force: true })
        throw error
      }
      directory.sync()
    })
  })
}

/** As `linkTarget`, with errors that say what is wrong. */
function followed(path: string): string {
  let file = path
  explained(path, path, () => {
    file = linkTarget(path)
  })
  return file
}

/** A directory that cannot be listed may hold some, which is no reason not to write. */
function removeLeftoversOf(directory: HeldDirectory): void {
  try {
    directory.removeLeftovers()
  } catch {
    // Found by the next command that may list it.
  }
}

/** Of the file that is replaced, or else of `like`, unless others have any: a file with a secret is not for them. */
function modeOfNew(asked: number, model: Stats | undefined): number {
  return model === undefined || (model.mode & OTHERS) !== 0 ? asked : model.mode & 0o777
}

/** `like`, unless it is the file itself, is not there, or is led to by links that root does not follow. */
function modelOf(path: string, like: string): Stats | undefined {
  if (like === path) return undefined
  try {
    const model = lstatSync(linkTarget(like))
    return model.isFile() ? model : undefined
  } catch {
    return undefined
  }
}

function assertReplaceable(name: string, stats: Stats): void {
  // Put there since the links were followed.
  if (stats.isSymbolicLink()) throw unwritable(name, 'its directory was changed meanwhile: try again')
  if (!stats.isFile()) throw unwritable(name, 'it is not a regular file')
  // Some file systems count no names at all.
  if (stats.nlink <= 1) return
  throw unwritable(
    name,
    `the file has ${stats.nlink} names (hard links), and the others would keep the old text: remove them, or make them symbolic ` +
      `links (find DIRECTORY -samefile ${name.split(' ', 1)[0]} lists them)`,
  )
}

/**
 * Where the symbolic links at `path` lead, perhaps to a name that is not there yet; else `path` itself, made absolute. As root,
 * the link of another user must lead into a directory of the same user. Throws `file_unwritable`, or errors of `node:fs`.
 */
export function linkTarget(path: string): string {
  let at = resolve(path)
  /** The user who can choose where the links lead. */
  let linkedBy: number | undefined
  for (let links = 0; links <= MOST_LINKS; links += 1) {
    const step = inDirectoryOfLinked(path, at, (directory, name) => {
      const link = lstatSync(directory.path(name), { throwIfNoEntry: false })
      if (link?.isSymbolicLink() !== true) {
        if (OF_KUBERNETES.test(`${at}/`) || OF_KUBERNETES.test(`${directory.realPath}/`)) throw managed(path, at)
        return { owner: directory.stats.uid }
      }
      const to = readlinkSync(directory.path(name))
      return {
        to,
        next: resolve(directory.realPath, to),
        link,
        isOurs: link.uid === ROOT && !isReplaceable(directory.stats),
      }
    })
    if (step.to === undefined) {
      if (isRoot() && linkedBy !== undefined && (linkedBy === ROOT || linkedBy !== step.owner)) {
        const owners = `a symbolic link of user ${linkedBy} leads to a directory of user ${step.owner}`
        throw unwritable(named(path, at), owners)
      }
      return at
    }
    if (OF_KUBERNETES.test(`/${step.to}/`)) throw managed(path, step.next)
    if (!step.isOurs) linkedBy ??= step.link.uid
    at = step.next
  }
  throw fault('ELOOP')
}

/** The link, and the directory it leads to, by which Kubernetes swaps all files of a volume at once. */
const OF_KUBERNETES = /\/\.\.(data|\d{4}_\d\d_\d\d_[\d_.]+)\//

function managed(path: string, file: string): RelayError {
  const problem = 'Kubernetes manages it (..data): change the Secret or ConfigMap instead'
  return unwritable(named(path, file), problem)
}

/** As `inDirectoryOf`, with errors that name both paths where links have led from one to the other. */
function inDirectoryOfLinked<T>(path: string, at: string, use: (directory: HeldDirectory, name: string) => T): T {
  try {
    return inDirectoryOf(at, use)
  } catch (error) {
    if (error instanceof RelayError || at === resolve(path)) throw error
    throw unwritable(named(path, at), problemAt(at, (error as NodeJS.ErrnoException).code), error)
  }
}

/** What the kernel finds at `path` must be what is replaced: `x/../y` leads elsewhere where `x` is a link. */
function assertLedTo(path: string, file: Stats | undefined): void {
  const found = statSync(path, { throwIfNoEntry: false })
  if (found?.ino === file?.ino && found?.dev === file?.dev) return
  throw unwritable(path, 'its symbolic links could not be followed: name the file that they lead to')
}

/** A path for people, with the one that its links lead to. */
function named(path: string, file: string): string {
  return resolve(path) === file ? path : `${path} (a symbolic link to ${file})`
}

/** Makes a file and writes it to disk. Throws `file_exists` where the name is taken, else `file_unwritable`. */
export function createFile(path: string, text: string, mode: number): void {
  explained(path, path, () =>
    inDirectoryOf(path, (directory, name) => {
      writeNew(directory.path(name), text, { mode, owner: undefined, like: undefined })
      directory.sync()
    }),
  )
}

/** Removes a file if it is there, or the one that symbolic links lead to. Throws `file_unwritable`. */
export function removeFile(path: string): void {
  const file = followed(path)
  explained(path, file, () =>
    inDirectoryOf(file, (directory, name) => {
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

interface NewFile {
  readonly mode: number
  readonly owner: Owner | undefined
  /** A path of the file whose attributes it gets. */
  readonly like: string | undefined
}

function writeNew(path: string, text: string, { mode, owner, like }: NewFile): void {
  const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600)
  try {
    const bytes = Buffer.from(text)
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at)
    if (like !== undefined) copyAttributes(like, fd)
    // The mode last: changing the owner may clear bits of it.
    if (owner !== undefined) changeOwner(fd, owner)
    changeMode(fd, mode)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/**
 * Copies access lists, SELinux labels and other extended attributes, which Node has no calls for. GNU `cp` has; with any other,
 * the new file gets the defaults of its directory. Both files are named by open descriptors, so no link can be put in their place.
 */
function copyAttributes(from: string, to: number): void {
  if (!hasProc) return
  let fd: number | undefined
  try {
    fd = openSync(from, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW)
    const [source, target] = [fd, to].map((each) => `/proc/${process.pid}/fd/${each}`) as [string, string]
    const which = ['--attributes-only', '--preserve=all', '--no-preserve=timestamps,ownership,links']
    execFileSync('cp', [...which, source, target], {
      env: { PATH: process.env.PATH },
      stdio: 'ignore',
      timeout: 5_000,
    })
  } catch {
    // Owner and mode are set in any case.
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}

/** A file system without owners, such as FAT, gives all files the same, and refuses every change. */
function changeOwner(fd: number, { uid, gid }: Owner): void {
  const now = fstatSync(fd)
  if (now.uid !== uid || now.gid !== gid) fchownSync(fd, uid, gid)
}

/** A file system without permissions refuses a change too. That is no harm where the file is no more open than it should be. */
function changeMode(fd: number, mode: number): void {
  try {
    fchmodSync(fd, mode)
  } catch (error) {
    const now = fstatSync(fd).mode & 0o777
    if ((now & 0o077 & ~mode) !== 0) throw Object.assign(fault('EMODE'), { cause: error })
  }
}

/**
 * The owner of the old file, else of `like`, else of the directory. Where others can change the directory, a
 * user may have put the old file there to be given the new one.
 */
function ownerOfNew(path: string, directory: Stats, before: Stats | undefined, like: string): Owner {
  const wanted = modelOf(path, like)
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
  try {
    return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)
  } catch (error) {
    if (!hasProc || (error as NodeJS.ErrnoException).code !== 'EACCES') throw error
    // One that must not be listed, such as with mode 711, can still be passed through and written to. It cannot be flushed.
    return openSync(path, O_PATH | constants.O_DIRECTORY)
  }
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

/** `file`: what the links at `path` lead to. */
function explained(path: string, file: string, work: () => void): void {
  try {
    work()
  } catch (error) {
    if (error instanceof RelayError) throw error
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') throw new RelayError('file_exists', `${path} exists already`, { cause: error })
    const closed = code === 'EACCES' ? closedDirectory(file) : undefined
    throw unwritable(named(path, file), closed ?? problemAt(file, code), error)
  }
}

/** Why a file that may be written to itself cannot be replaced; undefined where its directory is not the reason. */
function closedDirectory(file: string): string | undefined {
  const directory = dirname(file)
  if (!isDenied(directory, constants.W_OK | constants.X_OK)) return undefined
  return `no permission to create files in ${directory}, which replacing the file needs`
}

/** The first directory on the way to a file that this process may not enter; undefined where it may enter all of them. */
export function closedDirectoryAbove(path: string): string | undefined {
  let closed: string | undefined
  for (let directory = dirname(resolve(path)); ; directory = dirname(directory)) {
    if (isDenied(directory, constants.X_OK)) closed = directory
    if (directory === dirname(directory)) return closed
  }
}

/**
 * Says why this process may not access a file, and as which user it may; undefined where it may, or the file does not exist. `mode`: as for
 * access(2).
 */
export function permissionProblem(path: string, mode = constants.R_OK): string | undefined {
  if (!isDenied(path, mode)) return undefined
  const closed = closedDirectoryAbove(path)
  const what = closed === undefined ? '' : `: it may not enter ${closed}`
  const access = mode === constants.R_OK ? 'read' : 'read and written'
  const owner = userName(statSync(closed ?? path).uid)
  return `${path} cannot be ${access} by user ${userName(process.geteuid?.() ?? -1)}${what}; run this as ${owner}, as in sudo -u ${owner} ultravox-relay …`
}

function isDenied(path: string, mode: number): boolean {
  try {
    accessSync(path, mode)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EACCES'
  }
}

/** The name of a user, or its number as sudo takes it. */
function userName(uid: number): string {
  try {
    const line = readFileSync('/etc/passwd', 'utf8')
      .split('\n')
      .find((each) => each.split(':')[2] === String(uid))
    return line?.split(':')[0] ?? `#${uid}`
  } catch {
    return `#${uid}`
  }
}

/** As `fileProblem`, with the file system that `path` is on where it may be the reason. */
export function problemAt(path: string, code: unknown): string {
  const problem = code === 'ENOSPC' && isOutOfInodes(path) ? 'no inodes left on the disk (df -i)' : fileProblem(code)
  return OF_FILE_SYSTEM.has(codeName(code)) ? `${problem}${onFileSystem(path)}` : problem
}

/** Codes that say something of a file system rather than of one file. */
const OF_FILE_SYSTEM: ReadonlySet<string> = new Set([
  ...['EIO', 'EROFS', 'ENOSPC', 'EDQUOT', 'ENAMETOOLONG', 'EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'ENODEV'],
  ...['EMODE', 'ESTALE', 'ENOTCONN', 'ETIMEDOUT', 'EHOSTDOWN', 'EUCLEAN', 'EREMOTEIO'],
])

function unwritable(path: string, reason: string, cause?: unknown): RelayError {
  return new RelayError('file_unwritable', `${path} cannot be written: ${reason}`, { cause })
}

/** What an error code of a file means, to follow "cannot be read: ". */
export function fileProblem(code: unknown): string {
  return PROBLEMS[codeName(code)] ?? codeName(code ?? 'unknown error')
}

/** Some errors of Linux have no name in Node: their code is `Unknown system error -122`. */
function codeName(code: unknown): string {
  const number = /^Unknown system error -(\d+)$/.exec(String(code))?.[1]
  return (process.platform === 'linux' && number !== undefined && UNNAMED[number]) || String(code)
}

const UNNAMED: Readonly<Record<string, string>> = {
  37: 'ENOLCK',
  116: 'ESTALE',
  117: 'EUCLEAN',
  121: 'EREMOTEIO',
  122: 'EDQUOT',
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
  EBUSY: 'it is mounted as a single file, as Docker does for a file or secret: mount its directory instead',
  EINVAL: 'the file system does not support this',
  ENOTSUP: 'the file system does not support this',
  EOPNOTSUPP: 'the file system does not support this',
  ENOSYS: 'the file system does not support this',
  EMODE: 'the file system keeps no permissions, and other users could read it: mount it with umask=077, or use another',
  EUCLEAN: 'the file system is damaged: check it (fsck)',
  ENOLCK: 'the file system does not support locks',
  ESTALE: 'the server of the file system has lost it (stale handle): mount it again',
  ENOTCONN: 'the program that serves the file system has ended: mount it again',
  EUNTRUSTED: 'it is a symbolic link of a user to a file of another, which root does not follow',
}
