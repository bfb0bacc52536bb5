import type Database from 'better-sqlite3'

/** Returns since when an outbox exists, in epoch milliseconds; null where its schema is older than this record. */
export function createdAt(database: Database.Database): number | null {
  const hasRecord = database.prepare("select 1 from sqlite_schema where name = 'outbox_origin'").get() !== undefined
  if (!hasRecord) return null
  return (database.prepare('select created_at from outbox_origin').pluck().get() as number | undefined) ?? null
}

/** What the record says of an outbox whose schema is the current one. */
export function originOf(database: Database.Database): { readonly createdAt: number; readonly relayId: string } {
  const select = database.prepare('select created_at as createdAt, relay_id as relayId from outbox_origin')
  return select.get() as { createdAt: number; relayId: string }
}
