import type Database from 'better-sqlite3'
import { openDatabase } from './driver.ts'

/**
 * Opens a connection that cannot write. The last connection to a database that is closed writes the WAL into the file and removes it,
 * whatever has become of the file; if the last one is a witness, all files stay as they are. Null where the file cannot be read
 * any more.
 */
export function openWitness(path: string): Database.Database | null {
  let witness: Database.Database | undefined
  try {
    witness = openDatabase(path, { readonly: true })
    // It takes its lock with the first page that it reads.
    witness.pragma('schema_version')
    return witness
  } catch {
    witness?.close()
    return null
  }
}
