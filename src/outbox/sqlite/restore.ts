import {
  closeSync,
  constants,
  existsSync,
  fchownSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeSync,
} from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import type Database from 'better-sqlite3'
import { errorMessage, RelayError } from '../../domain/errors.ts'
import { unmountedProblem } from '../../mounts.ts'
import { PARTIAL_SUFFIXES, partialName } from '../../partial-file.ts'
import { fileProblem, HeldDirectory } from '../../safe-file.ts'
import { lockFileOf } from '../lock-file.ts'
import type { Replaced, Restoration, RestoreOptions, RestoreReport } from '../maintenance.ts'
import { continuityOf, problemOf } from './continuity.ts'
import { openDatabase } from './driver.ts'
import { unusable } from './faults.ts'
import { readHeader } from './file-format.ts'
import { fileIdOf, isOpenElsewhere } from './instance.ts'
import { isLocked, lockOutbox } from './lock.ts'
import { unmark } from './mark.ts'
import { assertOutboxHeader } from './migrate.ts'
import { assertFirstName } from './names.ts'
import { assertNotPlanted, assertOwnLog, assertTrustedPath, isEmpty, REPLACED } from './remains.ts'

const BUSY_TIMEOUT_MS = 5_000
const CHUNK_BYTES = 1024 * 1024
const STOP_ADVICE =
  'stop it first, under systemd together with its socket, or the next webhook starts it again: ' +
  'systemctl stop ultravox-relay.socket ultravox-relay.service'

/** What of an outbox is kept aside. The index of the WAL is made from the WAL. */
const KEPT = ['', '-wal', '-journal']
const COPIED = ['', '-wal']

/**
 * Copies the backup `from` to a file beside the outbox at `path` and checks it. While the result is open, the lock of the outbox is
 * held. Without `from`, it is the outbox itself, to go on without its WAL. Throws `outbox_locked` where a daemon runs, whatever
 * path leads to its outbox, and `outbox_unusable` where the backup is not a whole, sound outbox.
 */
export function prepareRestore(path: string, from: string | null, options: RestoreOptions): Restoration {
  assertTrustedPath(path)
  const target = targetOf(path)
  const lock = lockOutbox(target, STOP_ADVICE)
  try {
    if (from !== null) assertAnother(from, target)
    assertNotOpen(target)
    const source = realpathSync(from ?? target)
    if (source !== target && isLocked(source)) {
      throw new RelayError(
        'outbox_locked',
        `a relay is running on ${from}: make a copy of it by \`ultravox-relay backup\``,
      )
    }
    return prepared(target, source, options, lock)
  } catch (error) {
    lock.close()
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    throw unusable(`there is no file ${from ?? path}`)
  }
}

function prepared(path: string, source: string, options: RestoreOptions, lock: Database.Database): Restoration {
  const incompleteSince = assertComplete(source, options)
  const directory = HeldDirectory.open(dirname(path))
  const name = partialName()
  const partial = join(dirname(path), name)
  const remove = () => {
    for (const suffix of PARTIAL_SUFFIXES) rmSync(directory.path(`${name}${suffix}`), { force: true })
  }
  try {
    remove()
    const owner = ownerOf(path, directory.stats)
    for (const suffix of COPIED) {
      if (suffix === '-wal' && (options.withoutWal || isEmpty(`${source}${suffix}`))) continue
      copy(`${source}${suffix}`, directory.path(`${name}${suffix}`), owner)
    }
    const report = { path, from: source, incompleteSince, ...examined(partial, path, source) }
    return {
      report,
      commit(now) {
        directory.assertSame()
        const keptIn = report.replaced === null ? null : setAside(path, directory, owner, now)
        renameSync(directory.path(name), directory.path(basename(path)))
        directory.sync()
        return { keptIn }
      },
      close() {
        remove()
        directory.close()
        lock.close()
      },
    }
  } catch (error) {
    remove()
    directory.close()
    throw error
  }
}

/** The path without links. Creates the directory, and the lock file if there is none. */
function targetOf(path: string): string {
  assertMounted(path)
  try {
    mkdirSync(dirname(resolve(path)), { recursive: true, mode: 0o700 })
    const target = existsSync(path) ? realpathSync(path) : join(realpathSync(dirname(resolve(path))), basename(path))
    if (existsSync(target)) assertFirstName(target)
    assertNotPlanted(target)
    const { O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW } = constants
    const lock = openSync(lockFileOf(target), O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0o600)
    const owner = ownerOf(target, statSync(dirname(target)))
    if (owner !== null) fchownSync(lock, owner.uid, owner.gid)
    closeSync(lock)
    return target
  } catch (error) {
    if (error instanceof RelayError) throw error
    throw unusable(`cannot restore to ${path}: ${fileProblem((error as NodeJS.ErrnoException).code)}`)
  }
}

/** An outbox below a mount point is hidden once its volume is mounted. */
function assertMounted(path: string): void {
  const unmounted = existsSync(path) ? undefined : unmountedProblem(path)
  if (unmounted !== undefined) throw unusable(`cannot restore to ${path}: ${unmounted}: mount it first`)
}

/** As root, what is created belongs to the user whose outbox it is; null otherwise. */
function ownerOf(path: string, directory: Stats): Stats | null {
  if (process.geteuid?.() !== 0) return null
  return lstatSync(path, { throwIfNoEntry: false }) ?? directory
}

/** The lock may be free all the same: of a file that the relay has opened by another path, or because the lock file was removed. */
function assertNotOpen(target: string): void {
  if (!existsSync(target)) return
  const file = openSync(target, 'r')
  try {
    if (!isOpenElsewhere(file)) return
    const message = `a relay is running on the outbox ${target}, though its lock is free: stop it first`
    throw new RelayError('outbox_locked', message)
  } finally {
    closeSync(file)
  }
}

function assertAnother(from: string, target: string): void {
  const [a, b] = [statSync(from), statSync(target, { throwIfNoEntry: false })]
  if (!a.isFile()) throw unusable(`${from} is not a regular file`)
  if (b === undefined || fileIdOf(a) !== fileIdOf(b)) return
  throw new RelayError('usage', `${from} is the outbox itself: name a backup, or pass --without-wal and no file`)
}

/**
 * Checks the files of a backup without opening it as a database, which would change them. Returns since when events may be
 * missing, or null.
 */
function assertComplete(path: string, { withoutWal }: RestoreOptions): number | null {
  const file = openSync(path, 'r')
  try {
    const header = readHeader(file)
    if (header === null) throw unusable(`${path} is not an SQLite database`)
    assertOutboxHeader(header, path)
  } finally {
    closeSync(file)
  }
  if (!isEmpty(`${path}-journal`)) {
    throw unusable(`${path} has a rollback journal beside it: open it once with sqlite3, which applies the journal`)
  }
  const continuity = continuityOf(path)
  if (continuity.kind === 'without WAL' && withoutWal) return continuity.since
  if (withoutWal || continuity.kind === 'whole') {
    if (!withoutWal) assertOwnLog(path)
    return null
  }
  throw problemOf(continuity, path)
}

function copy(from: string, to: string, owner: Stats | null): void {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants
  const source = openSync(from, 'r')
  try {
    const file = openSync(to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
    try {
      const chunk = Buffer.alloc(CHUNK_BYTES)
      for (let bytes = readSync(source, chunk); bytes > 0; bytes = readSync(source, chunk)) {
        for (let at = 0; at < bytes; ) at += writeSync(file, chunk, at, bytes - at)
      }
      if (owner !== null) fchownSync(file, owner.uid, owner.gid)
    } finally {
      closeSync(file)
    }
  } catch (error) {
    throw unusable(`cannot copy ${from}: ${fileProblem((error as NodeJS.ErrnoException).code)}`)
  } finally {
    closeSync(source)
  }
}

type Examined = Omit<RestoreReport, 'path' | 'from' | 'incompleteSince'>

/** Makes the copy one file that is whole by itself, on disk, and compares it with the outbox at `path`. */
function examined(partial: string, path: string, source: string): Examined {
  assertNotPlanted(partial)
  const before = fileIdOf(lstatSync(partial))
  const database = openDatabase(partial, { timeout: BUSY_TIMEOUT_MS })
  let content: Examined
  try {
    database.pragma('synchronous = full')
    unmark(database)
    database.pragma('journal_mode = delete')
    const verdict = database.pragma('integrity_check(1)', { simple: true }) as string
    if (verdict !== 'ok')
      throw unusable(`${source} is damaged (${verdict.replaceAll('\n', ' ')}): restore another backup`)
    content = { ...contentOf(database), replaced: compared(database, path) }
  } catch (error) {
    if (error instanceof RelayError) throw error
    throw unusable(`${source} cannot be read: ${errorMessage(error)}`)
  } finally {
    database.close()
  }
  const file = openSync(partial, constants.O_RDONLY | constants.O_NOFOLLOW)
  try {
    if (fileIdOf(lstatSync(partial)) !== before) throw unusable(`${dirname(partial)} was changed meanwhile`)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  return content
}

function contentOf(database: Database.Database): Omit<Examined, 'replaced'> {
  return database
    .prepare(`
    select
      (select count(*) from events) as events,
      (select count(*) from live_deliveries) + (select count(*) from finished_deliveries) as deliveries,
      (select count(*) from live_deliveries) as unfinished,
      (select max(received_at) from events) as newestEventAt`)
    .get() as Omit<Examined, 'replaced'>
}

function compared(database: Database.Database, path: string): Replaced | null {
  if (KEPT.every((suffix) => isEmpty(`${path}${suffix}`))) return null
  try {
    if (isEmpty(path)) throw unusable('it is gone or empty')
    assertOwnLog(path)
    const continuity = continuityOf(path)
    if (continuity.kind !== 'whole') throw problemOf(continuity, path)
    return comparedWith(database, path)
  } catch (error) {
    return { problem: errorMessage(error) }
  }
}

function comparedWith(database: Database.Database, path: string): Replaced {
  database.prepare('attach ? as replaced').run(path)
  try {
    return database
      .prepare(`
      select count(*) as missing, min(received_at) as firstMissingAt, max(received_at) as lastMissingAt
      from replaced.events as event
      where not exists (select 1 from main.events where main.events.event_id = event.event_id)`)
      .get() as Replaced
  } finally {
    database.exec('detach replaced')
  }
}

/**
 * Moves the files of an outbox into a new directory beside it. Cut off at any moment, what is left there is not taken for a whole
 * outbox: the file goes first.
 */
function setAside(path: string, directory: HeldDirectory, owner: Stats | null, now: number): string {
  const name = createFree(directory, `${basename(path)}${REPLACED}${stampOf(now)}`)
  const kept = openSync(directory.path(name), constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
  try {
    if (owner !== null) fchownSync(kept, owner.uid, owner.gid)
    for (const suffix of KEPT) {
      const file = `${basename(path)}${suffix}`
      if (!existsSync(directory.path(file))) continue
      renameSync(directory.path(file), join(directory.path(name), file))
    }
    rmSync(directory.path(`${basename(path)}-shm`), { force: true })
    fsyncSync(kept)
    directory.sync()
  } finally {
    closeSync(kept)
  }
  return join(dirname(path), name)
}

const stampOf = (now: number) => new Date(now).toISOString().replaceAll(/[-:]|\.\d+/g, '')

/** Returns the name that is free: there may have been a restore in the same second. */
function createFree(directory: HeldDirectory, name: string): string {
  for (let n = 1; ; n++) {
    const free = n === 1 ? name : `${name}-${n}`
    try {
      mkdirSync(directory.path(free), { mode: 0o700 })
      return free
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code !== 'EEXIST') throw unusable(`cannot keep the outbox in ${name}: ${fileProblem(code)}`)
    }
  }
}
