import type Database from 'better-sqlite3'

/** `pragma auto_vacuum` of a file that can be made smaller a few pages at a time. */
const INCREMENTAL = 2

/** So many pages are moved between two looks at the time. */
const PAGES = 16

/** So many free pages are left for what comes in, and a tenth of all: a file that shrinks and grows again gains nothing. */
const SPARE_PAGES = 1_000
const SPARE_SHARE = 0.1

export interface SpaceKeeper {
  /** What the file holds, without its free pages. */
  usedBytes(): number
  /** Whether space can be given back without rewriting the whole file. */
  readonly shrinks: boolean
  /** Gives a few free pages back to the file system. False where there is nothing to give back. */
  giveBack(maxBytes: number | null): boolean
}

/** The size of the file. In WAL mode it gets smaller only when the log is taken over. */
export function createSpaceKeeper(database: Database.Database): SpaceKeeper {
  const pageBytes = database.pragma('page_size', { simple: true }) as number
  const shrinks = database.pragma('auto_vacuum', { simple: true }) === INCREMENTAL
  const pageCount = database.prepare('pragma page_count').pluck()
  const freeCount = database.prepare('pragma freelist_count').pluck()
  const pages = () => ({ total: pageCount.get() as number, free: freeCount.get() as number })

  return {
    shrinks,

    usedBytes() {
      const { total, free } = pages()
      return (total - free) * pageBytes
    },

    giveBack(maxBytes) {
      const { total, free } = pages()
      const spare = Math.max(SPARE_PAGES, total * SPARE_SHARE)
      const isTooLarge = maxBytes !== null && total * pageBytes > maxBytes && free > 0
      if (!shrinks || (free <= spare && !isTooLarge)) return false
      database.exec(`pragma incremental_vacuum(${PAGES})`)
      return freeCount.get() !== free
    },
  }
}
