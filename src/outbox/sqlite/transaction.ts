import type Database from 'better-sqlite3'
import { fromFault, toFault } from './faults.ts'

/** Does a command's work in one transaction that may write from its start on. Throws as the outbox does. */
export function inTransaction<T>(database: Database.Database, work: () => T): T {
  try {
    return database.transaction(work).immediate()
  } catch (error) {
    throw fromFault(toFault(error))
  }
}
