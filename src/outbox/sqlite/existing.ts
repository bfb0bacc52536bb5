import { closeSync, constants, existsSync, openSync, realpathSync } from 'node:fs'
import type Database from 'better-sqlite3'
import type { RelayError } from '../../domain/errors.ts'
import { permissionProblem } from '../../safe-file.ts'
import { assertContinuous, continuityOfFile } from './continuity.ts'
import { openDatabase } from './driver.ts'
import { fromFault, toFault, unusable } from './faults.ts'
import { isLocked } from './lock.ts'
import { SCHEMA, schemaOf } from './migrate.ts'
import { assertFirstName } from './names.ts'
import { assertNotPlanted, assertOwnLog, assertTrustedPath, isEmpty } from './remains.ts'
import { explainedByStorage } from './storage-probe.ts'
import { openWitness } from './witness.ts'

const BUSY_TIMEOUT_MS = 10_000

/** An outbox that a command has opened, whatever its schema is. */
export interface ExistingOutbox {
  readonly database: Database.Database
  /** Throws `outbox_unusable` for the schema of a newer version. What is missing in an older one, a query reports the same way. */
  assertReadable(): void
  /** Throws `outbox_unusable` unless the schema is this program's. To be called in each transaction that writes. */
  assertWritable(): void
  close(): void
}

/**
 * Opens an outbox for a command, beside the daemon. It neither creates nor migrates one: a daemon that runs has the schema of its
 * own version in use. Throws `outbox_unusable` where there is none at `path`.
 */
export function openExisting(path: string): ExistingOutbox {
  const denied = permissionProblem(path, constants.R_OK | constants.W_OK)
  if (denied !== undefined) throw unusable(`the outbox ${denied}`)
  if (!existsSync(path)) throw unusable(`there is no outbox at ${path}; the relay makes it when it is first started`)
  if (isEmpty(path)) throw unusable(`there is no outbox in ${path}: the file is empty; start the relay to see why`)
  assertTrustedPath(path)
  const real = realpathSync(path)
  assertFirstName(real)
  assertNotPlanted(real)
  // While a daemon runs, its WAL is its own; and this may be its process, in which the file must not be read.
  const isRunning = isLocked(path)
  if (!isRunning) assertRemains(real)
  const file = isRunning ? null : openSync(real, 'r')
  const database = openDatabase(path, { timeout: BUSY_TIMEOUT_MS })
  try {
    const schema = schemaOf(database)
    if (schema === 0) {
      throw unusable(`there is no outbox in ${path}: its first start was interrupted; start the relay to complete it`)
    }
    // The daemon checkpoints, once it has checked that the file is still the outbox.
    if (isRunning) database.pragma('wal_autocheckpoint = 0')
    database.pragma('synchronous = full')
    database.pragma('secure_delete = on')
    const witness = isRunning ? openWitness(real) : null
    explainMissing(database, path)
    return {
      database,
      assertReadable() {
        const schema = schemaOf(database)
        if (schema > SCHEMA) throw otherSchema(path, schema)
      },
      assertWritable() {
        const schema = schemaOf(database)
        if (schema !== SCHEMA) throw otherSchema(path, schema)
      },
      close() {
        if (database.open) closeBeside(database, witness ?? witnessOfChange(file, real), file)
      },
    }
  } catch (error) {
    database.close()
    if (file !== null) closeSync(file)
    throw fromFault(toFault(explainedByStorage(error, path)))
  }
}

/** Makes a query that the schema cannot answer throw an `outbox_unusable` that says what to do. */
function explainMissing(database: Database.Database, path: string): void {
  const prepare = database.prepare.bind(database)
  database.prepare = ((sql: string) => {
    try {
      return prepare(sql)
    } catch (error) {
      // Busy, out of memory and the like are not the schema's doing.
      if ((error as { code?: string }).code !== 'SQLITE_ERROR') throw error
      const schema = schemaOf(database)
      throw schema === SCHEMA ? error : otherSchema(path, schema)
    }
  }) as typeof database.prepare
}

function otherSchema(path: string, schema: number): RelayError {
  if (schema > SCHEMA) {
    return unusable(
      `the outbox ${path} was written by a newer version of the relay (schema ${schema}, this program knows ${SCHEMA}): ` +
        'use the ultravox-relay of that version; only backup works with this one',
    )
  }
  return unusable(
    `the outbox ${path} has schema ${schema}, and this program needs ${SCHEMA}: ${isLocked(path) ? 'restart' : 'start'} ` +
      'the relay first (only `ultravox-relay serve` migrates an outbox, when it starts)',
  )
}

/**
 * The last connection to be closed writes the WAL into the file. With a witness, this one leaves that to the daemon: beside one, and
 * where the file is not what the WAL belongs to.
 */
function closeBeside(database: Database.Database, witness: Database.Database | null, file: number | null): void {
  database.close()
  witness?.close()
  if (file !== null) closeSync(file)
}

/** Null where the WAL may be written into the file. */
function witnessOfChange(file: number | null, path: string): Database.Database | null {
  if (file === null || continuityOfFile(file, path).kind === 'whole') return null
  return openWitness(path)
}

function assertRemains(path: string): void {
  try {
    assertOwnLog(path)
    assertContinuous(path)
  } catch (error) {
    // A daemon that has started meanwhile has changed the one after the other had been read.
    if (!isLocked(path)) throw error
  }
}
