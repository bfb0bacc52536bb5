import { readdirSync, readFileSync } from 'node:fs'
import type Database from 'better-sqlite3'
import { RelayError } from '../../domain/errors.ts'

const FOLDER = new URL('./migrations/', import.meta.url)

/** Marks a database as an outbox of this relay ("UVRL"), so that no other one is taken for it. */
const APPLICATION_ID = 0x5556524c

/**
 * Brings a database to this version's schema: forward only, all that is missing in one transaction. `user_version` is
 * the number of the last migration applied. Throws `outbox_unusable` for a database that is not ours or that a newer version wrote.
 */
export function migrate(database: Database.Database): void {
  const migrations = readdirSync(FOLDER)
    .filter((name) => name.endsWith('.sql'))
    .sort()
  database.exec('begin immediate')
  try {
    const version = database.pragma('user_version', { simple: true }) as number
    if (version > migrations.length) {
      throw unusable(database, `was written by a newer version of the relay (schema ${version}); upgrade the relay`)
    }
    if (version === 0 && holdsTables(database)) throw unusable(database, 'holds tables of some other program')
    if (version > 0 && database.pragma('application_id', { simple: true }) !== APPLICATION_ID) {
      throw unusable(database, 'belongs to some other program')
    }
    if (version === migrations.length) {
      // Nothing is written: a look into the outbox is to cost no fsync, and is no change to the daemon.
      database.exec('rollback')
      return
    }
    for (const name of migrations.slice(version)) database.exec(readFileSync(new URL(name, FOLDER), 'utf8'))
    database.pragma(`application_id = ${APPLICATION_ID}`)
    database.pragma(`user_version = ${migrations.length}`)
    database.exec('commit')
  } catch (error) {
    if (database.inTransaction) database.exec('rollback')
    throw error
  }
}

function holdsTables(database: Database.Database): boolean {
  return database.prepare('select 1 from sqlite_schema limit 1').get() !== undefined
}

function unusable(database: Database.Database, what: string): RelayError {
  return new RelayError('outbox_unusable', `the outbox ${database.name} ${what}; or give this one another outbox.path`)
}
