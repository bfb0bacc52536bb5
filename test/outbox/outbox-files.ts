import { writeFileSync } from 'node:fs'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { SqliteMaintenance } from '../../src/outbox/sqlite/sqlite-maintenance.ts'

/** Makes a backup of the outbox at `path`, and returns where it is. */
export async function backup(path: string, to: string): Promise<string> {
  writeFileSync(to, '')
  const maintenance = SqliteMaintenance.open(path)
  await maintenance.backup(to, { onProgress: () => {}, signal: new AbortController().signal })
  await maintenance.close()
  return to
}

/** How many events the file of an outbox has. */
export function eventsIn(path: string): number {
  const database = openDatabase(path, { readonly: true })
  try {
    return database.prepare('select count(*) from events').pluck().get() as number
  } finally {
    database.close()
  }
}
