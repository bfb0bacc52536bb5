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
  RecallDesk,
  SentDelivery,
  Space,
} from '../maintenance.ts'
import { copyDatabase } from './backup.ts'
import { diagnose } from './diagnosis.ts'
import { createErasure, emptyLog, eraseInSteps } from './erasure.ts'
import { type ExistingOutbox, openExisting } from './existing.ts'
import { isLocked } from './lock.ts'
import { createPruning } from './pruning.ts'
import { createRecallDesk } from './recalls.ts'
import { spaceOf, vacuum } from './space.ts'
import { PacedWriter, type PacedWriterOptions } from './transaction.ts'

/** The upkeep of a SQLite outbox, over a connection of its own. */
export class SqliteMaintenance implements OutboxMaintenance {
  readonly #path: string
  readonly #outbox: ExistingOutbox
  readonly #database: Database.Database
  readonly #writer: PacedWriter

  /** Throws as `openExisting`. On an outbox of another schema, `backup` works, and what only reads does if the schema is older. */
  static open(path: string, pacing: PacedWriterOptions = {}): SqliteMaintenance {
    return new SqliteMaintenance(path, openExisting(path), pacing)
  }

  private constructor(path: string, outbox: ExistingOutbox, pacing: PacedWriterOptions) {
    this.#path = path
    this.#outbox = outbox
    this.#database = outbox.database
    this.#writer = new PacedWriter(outbox.database, { ...pacing, assertWritable: outbox.assertWritable })
  }

  async backup(to: string, options: BackupOptions): Promise<BackupReport> {
    return copyDatabase(this.#database, to, options)
  }

  async countPrunable(filter: PruneFilter): Promise<Prunable> {
    return createPruning(this.#readable()).count(filter)
  }

  async pruneEvents(filter: PruneFilter, after: number, limit: number, now: number): Promise<PruneStep | null> {
    const pruning = createPruning(this.#readable())
    const found = pruning.find(filter, after, limit)
    const last = found.at(-1)
    if (last === undefined) return null
    const removed = { events: 0, deliveries: 0 }
    await this.#writer.each(found, (eventSeq) => {
      const { events, deliveries } = pruning.remove(filter, eventSeq, now)
      removed.events += events
      removed.deliveries += deliveries
    })
    return { ...removed, after: last }
  }

  async pruneRejections(before: number, limit: number): Promise<number> {
    const pruning = createPruning(this.#readable())
    let removed = 0
    await this.#writer.each(pruning.findRejections(before, limit), (rejectionId) => {
      removed += pruning.removeRejection(rejectionId, before)
    })
    return removed
  }

  async findErasable(callId: string): Promise<Erasable> {
    const erasure = createErasure(this.#readable())
    return this.#database.transaction(() => erasure.find(callId)).deferred()
  }

  async erase(callId: string, cancel: boolean, now: number): Promise<Erasable & { logEmptied: boolean }> {
    this.#outbox.assertWritable()
    const found = await this.findErasable(callId)
    await eraseInSteps(createErasure(this.#database), this.#writer, { callId, cancel, now })
    return { ...found, logEmptied: await emptyLog(this.#database) }
  }

  async requestRecall(): Promise<number | null> {
    return this.#recalls().requestRecall()
  }

  async recallAnswer(request: number): Promise<readonly SentDelivery[] | null> {
    return this.#recalls().recallAnswer(request)
  }

  async lastAttempt(): Promise<number> {
    return this.#recalls().lastAttempt()
  }

  async cancelledButDelivered(lastAttempt: number): Promise<readonly SentDelivery[]> {
    return this.#recalls().cancelledButDelivered(lastAttempt)
  }

  async space(): Promise<Space> {
    return spaceOf(this.#database)
  }

  async vacuum(): Promise<void> {
    vacuum(this.#database, this.#path, this.#outbox.assertWritable)
  }

  async isRunning(): Promise<boolean> {
    return isLocked(this.#path)
  }

  async diagnose(deep: boolean): Promise<Diagnosis> {
    return diagnose(this.#readable(), this.#path, deep)
  }

  async close(): Promise<void> {
    this.#outbox.close()
  }

  #recalls(): RecallDesk {
    return createRecallDesk(this.#readable(), this.#writer, this.#path)
  }

  #readable(): Database.Database {
    this.#outbox.assertReadable()
    return this.#database
  }
}
