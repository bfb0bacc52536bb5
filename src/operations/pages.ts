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
