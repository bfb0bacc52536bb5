import type Database from 'better-sqlite3'

/** What a frame of the write-ahead log has besides its page. */
const FRAME_HEADER_BYTES = 24

interface Checkpoint {
  readonly log: number
  readonly checkpointed: number
}

/**
 * Takes over what can be taken over of the write-ahead log, and tells how much of it there is where somebody's reading
 * kept back the rest; 0 where nothing was. Waits for nobody.
 */
export function heldLogBytes(database: Database.Database): number {
  const [{ log, checkpointed }] = database.pragma('wal_checkpoint(passive)') as [Checkpoint]
  const pageBytes = database.pragma('page_size', { simple: true }) as number
  return checkpointed < log ? log * (pageBytes + FRAME_HEADER_BYTES) : 0
}
