import { InvalidArgumentError, Option } from 'commander'
import { note, print } from './printing.ts'

export interface PageOptions {
  readonly json?: boolean
  readonly limit: number
}

/** The newest of what a command lists, and whether there is more. */
export interface Page<T> {
  readonly rows: readonly T[]
  readonly more: boolean
}

/** `--limit`, the same at every list. */
export function limitOption(): Option {
  return new Option('--limit <count>', 'so many at most').argParser(parseLimit).default(50)
}

/** Reads a page; one row beyond it tells whether there is more. */
export async function readPage<T>(limit: number, read: (limit: number) => Promise<T[]>): Promise<Page<T>> {
  const found = await read(limit + 1)
  return { rows: found.slice(0, limit), more: found.length > limit }
}

/** Prints a page under its name: a document with `more` for scripts, else its table; what is missing goes to stderr. */
export function printPage<T>(
  { json, limit }: PageOptions,
  name: 'deliveries' | 'events' | 'gaps' | 'rejections',
  { rows, more }: Page<T>,
  documentOf: (row: T) => object,
  listed: (rows: readonly T[]) => string,
): void {
  print(json, { [name]: rows.map(documentOf), more }, rows.length === 0 ? '' : listed(rows))
  if (rows.length === 0) note(`no ${name}`)
  if (more) note(`these are the newest ${limit}; there are more (--limit)`)
}

/** Parses a number of lines. */
export function parseLimit(text: string): number {
  if (!/^[1-9]\d{0,6}$/.test(text)) throw new InvalidArgumentError('write a whole number from 1 to 9999999')
  return Number(text)
}
