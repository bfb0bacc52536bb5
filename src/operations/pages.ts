/** The newest of what is listed, and whether there is more. */
export interface Page<T> {
  readonly rows: readonly T[]
  readonly more: boolean
}

/** Reads a page; one row beyond it tells whether there is more. */
export async function readPage<T>(limit: number, read: (limit: number) => Promise<T[]>): Promise<Page<T>> {
  const found = await read(limit + 1)
  return { rows: found.slice(0, limit), more: found.length > limit }
}

/** Rows that are held in memory at a time. */
const MOST_HELD = 5_000

/**
 * Reads the first `limit` rows of a list of any length, page by page. `read` returns what follows the row `before`. Nothing is held
 * of the outbox between pages: a reader that lasted would keep its WAL from being truncated. `more`, of the last page, says
 * whether there is more than `limit`.
 */
export async function* readPages<T>(
  limit: number,
  read: (limit: number, before: T | undefined) => Promise<T[]>,
): AsyncGenerator<Page<T>, void> {
  let last: T | undefined
  for (let left = limit; ; ) {
    const page = await readPage(Math.min(left, MOST_HELD), (most) => read(most, last))
    left -= page.rows.length
    last = page.rows.at(-1)
    yield page
    if (!page.more || left === 0) return
  }
}
