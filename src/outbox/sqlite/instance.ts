import { randomUUID } from 'node:crypto'
import { fstatSync, type Stats, statSync } from 'node:fs'
import type Database from 'better-sqlite3'
import { RelayError } from '../../domain/errors.ts'
import { isProcessRunning, ownIdentity } from '../../process-identity.ts'
import { lockFileOf } from '../lock-file.ts'
import { onlyRecord, readHeader, readPage, rootPage } from './file-format.ts'

/**
 * How long a starting daemon waits for one that may still run on the outbox without its lock file. That one checks the lock
 * file once a second, and then takes up to `EVICTION_GRACE_MS` to end.
 */
const PATIENCE_MS = 10_000
const POLL_MS = 50

/** How long a daemon whose lock file is gone may take to finish its attempts before it exits. */
export const EVICTION_GRACE_MS = 5_000

/** The right of one daemon to write to the outbox and to claim from it. */
export interface Instance {
  /** Unique to each start of a daemon. */
  readonly id: string
  /** Whether the last daemon on this outbox ended without closing it. */
  readonly endedUnexpectedly: boolean
  /** Throws `outbox_locked`, which ends the daemon, once another one has taken the outbox over. */
  assertOwner(): void
  /** Throws `outbox_locked` if the lock file is not the one that was locked. */
  assertLockFile(): void
  /** Lets the next daemon start at once. */
  end(): void
}

interface InstanceRow {
  readonly process: string
  readonly lockFile: string
  readonly databaseFile: string
  readonly ended: 0 | 1
}

/**
 * Makes this daemon the owner of an outbox whose lock file it has locked. Waits up to `PATIENCE_MS` for a predecessor that
 * may have lost its lock file and still be running. Throws `outbox_locked` where the predecessor certainly runs: the file
 * system then does not support locks.
 */
export function takeOver(database: Database.Database, path: string): Instance {
  const lockFile = lockFileOf(path)
  const own = {
    instanceId: randomUUID(),
    process: ownProcess(),
    lockFile: fileId(lockFile),
    databaseFile: fileId(path),
  }
  const select = database.prepare(`
    select process, lock_file as lockFile, database_file as databaseFile, ended
    from daemon_instance`)
  const replace = database.prepare(`
    insert or replace into daemon_instance (only_one, instance_id, process, lock_file, database_file)
    values (1, @instanceId, @process, @lockFile, @databaseFile)`)
  let endedUnexpectedly = false
  const claim = database.transaction((isPatient: boolean): boolean => {
    const before = select.get() as InstanceRow | undefined
    if (before !== undefined && isPatient && mayRun(before, own, path)) return false
    endedUnexpectedly = before?.ended === 0 && !isCopied(before, own)
    replace.run(own)
    return true
  })
  const wait = new Int32Array(new SharedArrayBuffer(4))
  for (let waitedMs = 0; !claim.immediate(waitedMs < PATIENCE_MS); waitedMs += POLL_MS) {
    Atomics.wait(wait, 0, 0, POLL_MS)
  }

  const isOwner = database.prepare('select 1 from daemon_instance where instance_id = ?').pluck()
  const end = database.prepare('update daemon_instance set ended = 1 where instance_id = ?')
  return {
    id: own.instanceId,
    endedUnexpectedly,
    assertOwner() {
      if (isOwner.get(own.instanceId) === undefined) throw takenOver(path)
    },
    assertLockFile() {
      if (fileId(lockFile) === own.lockFile) return
      throw locked(`the lock file ${lockFile} was removed or replaced, so that another relay may run on the outbox`)
    },
    end() {
      end.run(own.instanceId)
    },
  }
}

/**
 * Waits up to `PATIENCE_MS` for a daemon that may still run on the outbox without its lock file. It does not take the outbox over,
 * so it works with any schema that knows of instances. Throws as `takeOver`.
 */
export function awaitPredecessor(database: Database.Database, path: string): void {
  if (database.prepare("select 1 from sqlite_schema where name = 'daemon_instance'").get() === undefined) return
  const own = { process: ownProcess(), lockFile: fileId(lockFileOf(path)), databaseFile: fileId(path) }
  const select = database.prepare(`
    select process, lock_file as lockFile, database_file as databaseFile, ended
    from daemon_instance`)
  const wait = new Int32Array(new SharedArrayBuffer(4))
  for (let waitedMs = 0; waitedMs < PATIENCE_MS; waitedMs += POLL_MS) {
    const before = select.get() as InstanceRow | undefined
    if (before === undefined || !mayRun(before, own, path)) return
    Atomics.wait(wait, 0, 0, POLL_MS)
  }
}

/**
 * Whether the last daemon that had the database file open certainly runs, in another process than this one. By what the file
 * itself says, past its WAL, so that it does not matter by which path it was opened there. A copy of the file is not open.
 */
export function isOpenElsewhere(file: number): boolean {
  const header = readHeader(file)
  const root = header === null ? null : rootPage(file, 'daemon_instance')
  const row = root === null ? null : onlyRecord(readPage(file, header!.pageBytes, root))
  const owner = row?.[2]
  const isSameFile = row?.[4] === fileIdOf(fstatSync(file))
  const hasEnded = row?.[5] === 1
  return typeof owner === 'string' && isSameFile && !hasEnded && owner !== ownProcess() && isRunning(owner) === true
}

/** Whether the file is a copy of the one that the daemon had. Its numbers hold for one boot: after another, it is taken for the same. */
function isCopied(before: InstanceRow, own: Omit<InstanceRow, 'ended'>): boolean {
  const [boot, ownBoot] = [before.process, own.process].map((identity) => identity.split('/')[0])
  return boot === ownBoot && before.databaseFile !== own.databaseFile
}

/** Whether the daemon that had this very file before may still run, though its lock could be taken. */
function mayRun(before: InstanceRow, own: Omit<InstanceRow, 'ended'>, path: string): boolean {
  const isSameFile = before.databaseFile === own.databaseFile
  if (before.ended === 1 || !isSameFile || before.process === own.process) return false
  const isAlive = isRunning(before.process)
  if (before.lockFile !== own.lockFile) return isAlive !== false
  // The kernel frees a lock when its process ends, unless the file system only pretends to lock.
  if (isAlive === true) {
    throw locked(
      `another relay is running on the outbox ${path}, though its lock is free: move the outbox to a local file system`,
    )
  }
  return false
}

/** `boot/pid namespace/pid/start time`; empty where the system does not say. */
function ownProcess(): string {
  const { boot, namespace, pid, started } = ownIdentity()
  return [boot, namespace, started].includes('') ? '' : [boot, namespace, pid, started].join('/')
}

/** Whether a process is running; undefined where that cannot be seen from here. */
function isRunning(identity: string): boolean | undefined {
  const own = ownProcess()
  const [boot, namespace, pid, started] = identity.split('/')
  const [ownBoot, ownNamespace] = own.split('/')
  if (own === '' || identity === '') return undefined
  if (boot !== ownBoot) return false
  if (namespace !== ownNamespace) return undefined
  return isProcessRunning(Number(pid), started!)
}

function fileId(path: string): string {
  const stats = statSync(path, { throwIfNoEntry: false })
  return stats === undefined ? 'none' : fileIdOf(stats)
}

/** Tells files apart, also while their names change. */
export const fileIdOf = ({ dev, ino }: Stats): string => `${dev}:${ino}`

/** The error of a daemon whose outbox belongs to another one. */
export function takenOver(path: string): RelayError {
  return locked(`another relay has taken over the outbox ${path}`)
}

function locked(what: string): RelayError {
  return new RelayError('outbox_locked', what)
}
