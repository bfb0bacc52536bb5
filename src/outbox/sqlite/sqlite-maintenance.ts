import type Database from 'better-sqlite3'
import type {
  BackupOptions,
  BackupReport,
  Diagnosis,
  Erasable,
  OutboxMaintenance,
  Prunable,
  PruneFilter,
  PruneStep,
  Space,
} from '../maintenance.ts'
import { copyDatabase } from './backup.ts'
import { diagnose } from './diagnosis.ts'
import { createErasure, type Erasure, emptyLog, eraseInSteps } from './erasure.ts'
import { openExisting } from './existing.ts'
import { isLocked } from './lock.ts'
import { createPruning, type Pruning } from './pruning.ts'
import { spaceOf, vacuum } from './space.ts'
import { PacedWriter, type PacedWriterOptions } from './transaction.ts'

/** The upkeep of a SQLite outbox, over a connection of its own. */
export class SqliteMaintenance implements OutboxMaintenance {
  readonly #path: string
  readonly #database: Database.Database
  readonly #writer: PacedWriter
  readonly #pruning: Pruning
  readonly #erasure: Erasure

  /** Throws as `openExisting`. */
  static open(path: string, pacing: PacedWriterOptions = {}): SqliteMaintenance {
    return new SqliteMaintenance(path, openExisting(path), pacing)
  }

  private constructor(path: string, database: Database.Database, pacing: PacedWriterOptions) {
    this.#path = path
    this.#database = database
    this.#writer = new PacedWriter(database, pacing)
    this.#pruning = createPruning(database)
    this.#erasure = createErasure(database)
  }

  async backup(to: string, options: BackupOptions): Promise<BackupReport> {
    return copyDatabase(this.#database, to, options)
  }

  async countPrunable(filter: PruneFilter): Promise<Prunable> {
    return this.#pruning.count(filter)
  }

  async pruneEvents(filter: PruneFilter, after: number, limit: number, now: number): Promise<PruneStep | null> {
    const found = this.#pruning.find(filter, after, limit)
    const last = found.at(-1)
    if (last === undefined) return null
    const removed = { events: 0, deliveries: 0 }
    await this.#writer.each(found, (eventSeq) => {
      const { events, deliveries } = this.#pruning.remove(filter, eventSeq, now)
      removed.events += events
      removed.deliveries += deliveries
    })
    return { ...removed, after: last }
  }

  async pruneRejections(before: number, limit: number): Promise<number> {
    let removed = 0
    await this.#writer.each(this.#pruning.findRejections(before, limit), (rejectionId) => {
      removed += this.#pruning.removeRejection(rejectionId, before)
    })
    return removed
  }

  async findErasable(callId: string): Promise<Erasable> {
    return this.#database.transaction(() => this.#erasure.find(callId)).deferred()
  }

  async erase(callId: string, cancel: boolean, now: number): Promise<Erasable & { logEmptied: boolean }> {
    const found = await this.findErasable(callId)
    await eraseInSteps(this.#erasure, this.#writer, { callId, cancel, now })
    return { ...found, logEmptied: await emptyLog(this.#database) }
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
}
