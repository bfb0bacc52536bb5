import { readdirSync, readFileSync } from 'node:fs'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'

const FOLDER = new URL('../../src/outbox/sqlite/migrations/', import.meta.url)
const MIGRATIONS = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.sql'))
  .sort()

/** Creates an outbox as the program of an older schema has left it, with a dead delivery of one event. */
export function createOlderOutbox(path: string, schema: number): void {
  const database = openDatabase(path)
  database.pragma('auto_vacuum = incremental')
  database.pragma('journal_mode = wal')
  for (const name of MIGRATIONS.slice(0, schema)) database.exec(readFileSync(new URL(name, FOLDER), 'utf8'))
  database.pragma(`application_id = ${0x5556524c}`)
  database.pragma(`user_version = ${schema}`)
  database.exec(`
    insert into events (event_id, source, event, call_id, received_at, origin)
    values ('evt_old', 'ultravox', 'call.ended', 'call-1', 1000, 'webhook');
    insert into event_bodies (event_seq, body) values (1, cast('{"event":"call.ended"}' as blob));
    insert into finished_deliveries (delivery_id, event_seq, target, state, attempts, round, finished_at, last_error)
    values (1, 1, 'crm', 'dead', 1, 1, 2000, 'gone');`)
  database.close()
}

/** Makes an outbox one of a program with one more migration, which renames what this program's queries need. */
export function makeNewer(path: string): void {
  const database = openDatabase(path)
  database.exec('alter table events rename to events_of_tomorrow')
  database.pragma(`user_version = ${MIGRATIONS.length + 1}`)
  database.close()
}

export function schemaIn(path: string): number {
  const database = openDatabase(path, { readonly: true })
  const schema = database.pragma('user_version', { simple: true }) as number
  database.close()
  return schema
}
