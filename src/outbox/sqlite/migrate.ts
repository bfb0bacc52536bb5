import { readdirSync, readFileSync } from 'node:fs'
import type Database from 'better-sqlite3'
import { RelayError } from '../../domain/errors.ts'
import type { DatabaseHeader } from './file-format.ts'

const FOLDER = new URL('./migrations/', import.meta.url)

/** Marks a database as an outbox of this relay ("UVRL"), so that no other one is taken for it. */
const APPLICATION_ID = 0x5556524c

/** Read once: a running relay must not take the migrations of an installed upgrade for its own. */
const MIGRATIONS = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.sql'))
  .sort()

/** The schema that this program reads and writes: the number of its last migration. */
export const SCHEMA = MIGRATIONS.length

/**
 * Returns the number of the last migration applied to a database, which is its `user_version`; 0 for one that is empty. Throws
 * `outbox_unusable` for a database of another program.
 */
export function schemaOf(database: Database.Database): number {
  const version = database.pragma('user_version', { simple: true }) as number
  if (version === 0 && holdsTables(database)) throw unusable(database, 'holds tables of some other program')
  if (version > 0 && database.pragma('application_id', { simple: true }) !== APPLICATION_ID) {
    throw unusable(database, 'belongs to some other program')
  }
  return version
}

/**
 * Brings a database to this program's schema: forward only, all that is missing in one transaction. Only a daemon that has locked
 * the outbox may call it: another one that runs on it would go on with the schema of before. Throws `outbox_unusable` for a
 * database that is not ours or that a newer version wrote.
 */
export function migrate(database: Database.Database): void {
  database.exec('begin immediate')
  try {
    const version = schemaOf(database)
    if (version > SCHEMA) {
      throw unusable(
        database,
        `was written by a newer version of the relay (schema ${version}, this program knows ${SCHEMA}): ` +
          'upgrade the relay, or `ultravox-relay restore` a backup from before that upgrade',
      )
    }
    if (version === SCHEMA) {
      // Nothing is written: an ordinary start needs no fsync here.
      database.exec('rollback')
      return
    }
    for (const name of MIGRATIONS.slice(version)) database.exec(readFileSync(new URL(name, FOLDER), 'utf8'))
    database.pragma(`application_id = ${APPLICATION_ID}`)
    database.pragma(`user_version = ${SCHEMA}`)
    database.exec('commit')
  } catch (error) {
    if (database.inTransaction) database.exec('rollback')
    throw error
  }
}

/**
 * Throws `outbox_unusable` where the header of a database file is not that of an outbox, or of one that a newer version wrote.
 */
export function assertOutboxHeader({ userVersion, applicationId }: DatabaseHeader, path: string): void {
  if (applicationId !== APPLICATION_ID) throw new RelayError('outbox_unusable', `${path} is not an outbox of the relay`)
  if (userVersion > SCHEMA) {
    throw new RelayError(
      'outbox_unusable',
      `${path} was written by a newer version of the relay (schema ${userVersion}); upgrade the relay`,
    )
  }
}

function holdsTables(database: Database.Database): boolean {
  return database.prepare('select 1 from sqlite_schema limit 1').get() !== undefined
}

function unusable(database: Database.Database, what: string): RelayError {
  return new RelayError('outbox_unusable', `the outbox ${database.name} ${what}; or give this one another outbox.path`)
}
