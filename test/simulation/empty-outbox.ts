import type Database from 'better-sqlite3'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { migrate } from '../../src/outbox/sqlite/migrate.ts'

let image: Buffer | undefined

/** A migrated outbox in memory. It is made once, and each is a copy. */
export function emptyOutbox(): Database.Database {
  if (image === undefined) {
    const database = openDatabase(':memory:')
    migrate(database)
    image = database.serialize()
    database.close()
  }
  // Its types say that a file's name is needed; an image will do as well.
  return openDatabase(image as unknown as string)
}
