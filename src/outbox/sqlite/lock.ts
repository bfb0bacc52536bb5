import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs'
import type Database from 'better-sqlite3'
import { RelayError } from '../../domain/errors.ts'
import { fileSystemName, fileSystemOf, kindOf } from '../../file-system.ts'
import { lockFileOf } from '../lock-file.ts'
import { openDatabase } from './driver.ts'
import { cannotOpen, whyStorageFails } from './storage-probe.ts'

/** A daemon that starts waits so long for a command that looks whether one runs, which takes far less. */
const LOOK_MS = 200
const START_ADVICE = 'stop it first, or give this one an outbox.path of its own'

/**
 * Makes this process the only daemon on an outbox. The lock is SQLite's own exclusive lock on a file beside the
 * database: the kernel drops it when the process ends, however it ends, and the outbox itself stays open to `sqlite3`
 * and the CLI. Throws `outbox_locked` at once if another process has it. Closing the returned handle gives it back.
 */
export function lockOutbox(path: string, advice = START_ADVICE): Database.Database {
  const lock = openDatabase(lockFileOf(path), { timeout: LOOK_MS })
  try {
    lock.exec('begin exclusive')
    return lock
  } catch (error) {
    lock.close()
    if ((error as { code?: string }).code !== 'SQLITE_BUSY') throw error
    const problem = whyStorageFails(path)
    if (problem?.need === 'lock') throw cannotOpen(path, problem, error)
    throw new RelayError(
      'outbox_locked',
      `another relay is running on the outbox ${path}; ${advice}${unlessUnlocked(path)}`,
      { cause: error },
    )
  }
}

/** The probe may have found nothing: root does not try the locks of a directory that is another user's. */
function unlessUnlocked(path: string): string {
  const found = fileSystemOf(path)
  if (found === undefined || (kindOf(found) === 'local' && isHeldHere(lockFileOf(path)))) return ''
  return `; if none is, the ${fileSystemName(found)} does not support locks: move the outbox to a local one`
}

/** Whether the kernel lists a lock on a file; true where it does not say. Those of other PID namespaces are not listed. */
function isHeldHere(file: string): boolean {
  try {
    return readFileSync('/proc/locks', 'utf8').includes(`:${statSync(file).ino} `)
  } catch {
    return true
  }
}

/**
 * What the lock's own file keeps of the outbox beside it, as its `user_version`. `trusted`: there is one, so that it is not taken
 * for one that was never made when it is gone or empty. `distrusted`: its storage has failed, and it is to be looked at.
 */
const STATES = ['never made', 'trusted', 'distrusted'] as const
export type OutboxState = (typeof STATES)[number]

export function outboxState(lock: Database.Database): OutboxState {
  return STATES[lock.pragma('user_version', { simple: true }) as number] ?? 'trusted'
}

/** The lock is free for a moment; throws `SQLITE_BUSY` if somebody takes it in that moment. */
export function keepOutboxState(lock: Database.Database, state: OutboxState): void {
  if (outboxState(lock) === state) return
  lock.pragma(`user_version = ${STATES.indexOf(state)}`)
  lock.exec('commit')
  lock.exec('begin exclusive')
}

/** Whether a daemon runs on the outbox at `path`. */
export function isLocked(path: string): boolean {
  const file = lockFileOf(realpathSync(path))
  if (!existsSync(file)) return false
  const lock = openDatabase(file, { timeout: 0, readonly: true })
  try {
    lock.pragma('schema_version')
    return false
  } catch (error) {
    const code = (error as { code?: string }).code ?? ''
    // A crash in `keepOutboxState` leaves a journal, which can only be read by whoever may write.
    if (code.startsWith('SQLITE_READONLY')) return false
    if (code !== 'SQLITE_BUSY') throw error
    return true
  } finally {
    lock.close()
  }
}
