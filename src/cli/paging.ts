import { setImmediate as nextTurn } from 'node:timers/promises'
import { InvalidArgumentError, Option } from 'commander'
import { readPages } from '../operations/pages.ts'
import { writeJsonItems, writeJsonItemsEnd, writeOut } from './output.ts'
import { note } from './printing.ts'

export interface PageOptions {
  readonly json?: boolean
  readonly limit: number
}

/** `--limit`, the same at every list. */
export function limitOption(): Option {
  return new Option('--limit <count>', 'so many at most').argParser(parseLimit).default(50)
}

export type ListName = 'calls' | 'deliveries' | 'events' | 'gaps' | 'rejections'

/**
 * Prints a list under its name: a document with `more` for scripts, else tables, one for each page; what is missing goes to stderr.
 * `read`: as for `readPages`.
 */
export async function printList<T>(
  { json = false, limit }: PageOptions,
  name: ListName,
  read: (limit: number, before: T | undefined) => Promise<T[]>,
  documentOf: (row: T) => object,
  listed: (rows: readonly T[]) => string,
): Promise<void> {
  let count = 0
  let isMore = false
  for await (const { rows, more } of readPages(limit, read)) {
    if (json) writeJsonItems(name, rows.map(documentOf), count === 0)
    else if (rows.length > 0) writeOut(listed(rows))
    count += rows.length
    isMore = more
    // The reader of a pipe may be gone, which is seen only between two turns.
    await nextTurn()
  }
  if (json) writeJsonItemsEnd({ more: isMore }, count === 0)
  if (count === 0) note(`no ${name}`)
  if (isMore) note(`these are the newest ${limit}; there are more (--limit)`)
}

/** Parses a number of lines. */
export function parseLimit(text: string): number {
  if (!/^[1-9]\d{0,6}$/.test(text)) throw new InvalidArgumentError('write a whole number from 1 to 9999999')
  return Number(text)
}
