import type Database from 'better-sqlite3'
import { FRAME_HEADER_BYTES } from './file-format.ts'

/** Frames of the WAL. */
export interface Checkpointed {
  readonly frames: number
  /** Those that are in the database file. */
  readonly backfilled: number
}

/**
 * How large the WAL is where a reader keeps it from being written into the database; 0 where none does. Waits for nobody.
 */
export function heldLogBytes(database: Database.Database, checkpoint: () => Checkpointed): number {
  const { frames, backfilled } = checkpoint()
  const pageBytes = database.pragma('page_size', { simple: true }) as number
  return backfilled < frames ? frames * (pageBytes + FRAME_HEADER_BYTES) : 0
}

/** Does what SQLite itself would do after a commit. */
export function plainCheckpoint(database: Database.Database): Checkpointed {
  const [{ log, checkpointed }] = database.pragma('wal_checkpoint(passive)') as [{ log: number; checkpointed: number }]
  return { frames: log, backfilled: checkpointed }
}
