import type Database from 'better-sqlite3'
import type {
  BackupOptions,
  BackupReport,
  Diagnosis,
  OutboxMaintenance,
  Prunable,
  PruneFilter,
  PruneStep,
  Space,
} from '../maintenance.ts'
import { copyDatabase } from './backup.ts'
import { diagnose } from './diagnosis.ts'
import { openExisting } from './existing.ts'
import { fromFault, toFault } from './faults.ts'
import { isLocked } from './lock.ts'
import { createPruning } from './pruning.ts'
import { spaceOf, vacuum } from './space.ts'

/** The upkeep of a SQLite outbox, over a connection of its own. */
export class SqliteMaintenance implements OutboxMaintenance {
  readonly #path: string
  readonly #database: Database.Database

  /** Throws as `openExisting`. */
  static open(path: string): SqliteMaintenance {
    return new SqliteMaintenance(path, openExisting(path))
  }

  private constructor(path: string, database: Database.Database) {
    this.#path = path
    this.#database = database
  }

  async backup(to: string, options: BackupOptions): Promise<BackupReport> {
    return copyDatabase(this.#database, to, options)
  }

  async countPrunable(filter: PruneFilter): Promise<Prunable> {
    return createPruning(this.#database).count(filter)
  }

  async pruneEvents(filter: PruneFilter, after: number, limit: number): Promise<PruneStep | null> {
    const pruning = createPruning(this.#database)
    const found = pruning.find(filter, after, limit)
    const last = found.at(-1)
    return last === undefined ? null : { ...this.#transaction(() => pruning.remove(filter, found)), after: last }
  }

  async pruneRejections(before: number, limit: number): Promise<number> {
    return this.#transaction(() => createPruning(this.#database).removeRejections(before, limit))
  }

  async space(): Promise<Space> {
    return spaceOf(this.#database)
  }

  async vacuum(): Promise<void> {
    vacuum(this.#database, this.#path)
  }

  async isRunning(): Promise<boolean> {
    return isLocked(this.#path)
  }

  async diagnose(deep: boolean): Promise<Diagnosis> {
    return diagnose(this.#database, this.#path, deep)
  }

  async close(): Promise<void> {
    this.#database.close()
  }

  #transaction<T>(work: () => T): T {
    try {
      return this.#database.transaction(work).immediate()
    } catch (error) {
      throw fromFault(toFault(error))
    }
  }
}
