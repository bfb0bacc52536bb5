import { didYouMean } from '../config/suggestion.ts'
import { note } from './printing.ts'
import { oneLine } from './table.ts'

/** Tells people that a name which they filter by is not configured: perhaps a slip, perhaps what once was. */
export function tellOfUnknown(what: 'target' | 'source', name: string | undefined, configured: object): void {
  if (name === undefined || Object.hasOwn(configured, name)) return
  note(`there is no ${what} "${oneLine(name)}" in the configuration${didYouMean(name, Object.keys(configured))}`)
}
