import type Database from 'better-sqlite3'
import { FRAME_HEADER_BYTES } from './file-format.ts'

/** Frames of the WAL. */
export interface Checkpointed {
  readonly frames: number
  /** Those that are in the database file. */
  readonly backfilled: number
  /** Whether the database file has everything that was committed when it was called. */
  readonly isWhole: boolean
}

/**
 * How large the WAL is where a reader keeps it from being written into the database; 0 if none does. Does not wait for locks.
 */
export function heldLogBytes(database: Database.Database, checkpoint: () => Checkpointed): number {
  const { frames, backfilled } = checkpoint()
  const pageBytes = database.pragma('page_size', { simple: true }) as number
  return backfilled < frames ? frames * (pageBytes + FRAME_HEADER_BYTES) : 0
}

/**
 * Does what SQLite itself would do after a commit. While another process checkpoints, it does nothing, and reports no frames: that
 * one may have begun before the last commit.
 */
export function plainCheckpoint(database: Database.Database): Checkpointed {
  const [{ busy, log, checkpointed }] = database.pragma('wal_checkpoint(passive)') as [
    { busy: number; log: number; checkpointed: number },
  ]
  if (busy === 1) return { frames: 0, backfilled: 0, isWhole: false }
  return { frames: log, backfilled: checkpointed, isWhole: checkpointed === log }
}
