import { InvalidArgumentError, Option } from 'commander'
import type { Page } from '../operations/pages.ts'
import { note, print } from './printing.ts'

export interface PageOptions {
  readonly json?: boolean
  readonly limit: number
}

/** `--limit`, the same at every list. */
export function limitOption(): Option {
  return new Option('--limit <count>', 'so many at most').argParser(parseLimit).default(50)
}

/** Prints a page under its name: a document with `more` for scripts, else its table; what is missing goes to stderr. */
export function printPage<T>(
  { json, limit }: PageOptions,
  name: 'calls' | 'deliveries' | 'events' | 'gaps' | 'rejections',
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
