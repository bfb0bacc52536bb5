import type { Eraser } from './erasure.ts'
import type { RecallDesk } from './recalls.ts'

export type * from './erasure.ts'
export type * from './recalls.ts'
export { MUCH_LOG_BYTES } from './retention.ts'

/**
 * How an outbox is kept in good order, beside the daemon or while none is running: apart from `OutboxOperator`, for it is
 * about the storage and not about what became of an event. Instants are epoch milliseconds.
 */
export interface OutboxMaintenance extends Eraser, RecallDesk {
  /**
   * Writes a consistent, checked copy of everything into the empty file `to`, while a daemon may go on writing. Throws
   * the signal's reason where that ends it.
   */
  backup(to: string, options: BackupOptions): Promise<BackupReport>

  countPrunable(filter: PruneFilter): Promise<Prunable>

  /**
   * Removes the next events that may go after `after`, `limit` at most, in transactions of a few milliseconds with pauses
   * between them: the daemon's own writes wait for no longer. That they were there stays on record. Null where there are no more.
   */
  pruneEvents(filter: PruneFilter, after: number, limit: number, now: number): Promise<PruneStep | null>

  /** Removes the oldest rejections from before then, `limit` at most. Returns how many. */
  pruneRejections(before: number, limit: number): Promise<number>

  space(): Promise<Space>

  /** Gives the space that is not used back to the file system. Throws `outbox_locked` where a daemon runs. */
  vacuum(): Promise<void>

  /** Whether a daemon runs on it. */
  isRunning(): Promise<boolean>

  /** `deep`: leaves nothing unchecked, however long that takes. */
  diagnose(deep: boolean): Promise<Diagnosis>

  close(): Promise<void>
}

export interface BackupOptions {
  /** In units of the storage's own. */
  readonly onProgress: (done: number, total: number) => void
  readonly signal: AbortSignal
}

/** What is in a backup: null where it has the schema of a newer version, which this program cannot count in. */
export interface BackupReport {
  readonly events: number | null
  readonly deliveries: number | null
}

export interface RestoreOptions {
  /** Leaves the WAL beside the file out, and accepts that it is missing. */
  readonly withoutWal: boolean
}

/** A checked copy of a backup beside the outbox, ready to take its place. A daemon cannot start meanwhile. */
export interface Restoration {
  readonly report: RestoreReport
  /** Puts the copy in the place of the outbox, and what was there aside. */
  commit(now: number): Restored
  /** Removes the copy if it was not used, and lets a daemon start. */
  close(): void
}

/** Instants are epoch milliseconds. */
export interface RestoreReport {
  readonly path: string
  readonly from: string
  readonly events: number
  readonly deliveries: number
  /** Deliveries that have not ended. */
  readonly unfinished: number
  readonly newestEventAt: number | null
  /** From when on events may be missing because the WAL is. */
  readonly incompleteSince: number | null
  /** What there was before; null where there was nothing. */
  readonly replaced: Replaced | null
}

export type Replaced =
  /** Events that the restored outbox does not have, and when the first and the last of them were received. */
  | { readonly missing: number; readonly firstMissingAt: number | null; readonly lastMissingAt: number | null }
  /** Why it cannot be read. */
  | { readonly problem: string }

export interface Restored {
  /** The directory in which the replaced outbox is kept; null where there was nothing. */
  readonly keptIn: string | null
}

/** Which events may go: those whose deliveries have all ended, and that hold nothing back. */
export interface PruneFilter {
  /** Received before then. */
  readonly before: number
  /** Also those with dead deliveries. */
  readonly dead: boolean
  /** Only their bodies are meant: who they are and what became of them stays. */
  readonly bodiesOnly: boolean
}

export interface Prunable {
  readonly events: number
  readonly bodyBytes: number
  readonly rejections: number
}

export interface PruneStep {
  readonly events: number
  readonly deliveries: number
  /** Where the next step begins. */
  readonly after: number
}

export interface Space {
  readonly totalBytes: number
  /** Of these, what is free inside and will be used again. */
  readonly reusableBytes: number
}

/** How the storage is. */
export interface Diagnosis {
  readonly engine: string
  readonly schemaVersion: number
  /** The schema that this program writes; that of the storage may be older. */
  readonly programSchema: number
  /** See `StorageStatus`. */
  readonly createdAt: number | null
  /** Empty where it is sound. */
  readonly damage: readonly string[]
  /** What is committed but not yet in its final place. */
  readonly logBytes: number
  /** What it holds, without its free space. */
  readonly usedBytes: number
  /** Whether the file can get smaller while the relay runs. */
  readonly shrinks: boolean
  /** Validly signed requests that were refused all the same. */
  readonly keptRejections: readonly { readonly reason: string; readonly count: number; readonly lastAt: number }[]
}
