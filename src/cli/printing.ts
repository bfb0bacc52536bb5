import { Option } from 'commander'
import type { Recalled } from '../operations/recall.ts'
import { beginReport, terminalWidth, writeError, writeJson, writeOut } from './output.ts'
import { type Cell, type Column, table } from './table.ts'

/** `--json`, the same at every command: one document whose keys stay, though others may join them. */
export function jsonOption(): Option {
  return new Option('--json', 'print one JSON document')
}

/** Prints what a command has to say: its document for scripts, its text for people. */
export function print(json: boolean | undefined, document: object, text: string): void {
  beginReport()
  if (json === true) writeJson(document, 2)
  else writeOut(text)
}

let isWide = false

/** Tables are no longer fitted to the terminal. */
export function showAllColumns(): void {
  isWide = true
}

/** A table for standard output, fitted to the terminal if it is one. */
export function shownTable(heading: readonly Column[], rows: readonly (readonly Cell[])[]): string {
  return table(heading, rows, isWide ? undefined : terminalWidth())
}

/** Tells people something that is no part of the answer. */
export function note(text: string): void {
  writeError(`${text}\n`)
}

/** `1 delivery`, `17 deliveries`. */
export function counted(
  count: number,
  one: 'attempt' | 'call' | 'delivery' | 'event' | 'rejection' | 'webhook',
): string {
  const many = one === 'delivery' ? 'deliveries' : `${one}s`
  return `${count} ${count === 1 ? one : many}`
}

/** The end of a sentence about what was cancelled, such as `; 1 is being sent now and may still arrive`. Empty if nothing was sent. */
export function sentAnyway({ underWay, deliveredMeanwhile }: Recalled): string {
  const [was, is] = [deliveredMeanwhile === 1 ? 'was' : 'were', underWay === 1 ? 'is' : 'are']
  const delivered = deliveredMeanwhile > 0 ? `; ${deliveredMeanwhile} ${was} delivered meanwhile` : ''
  const sending = underWay ? `; ${underWay} ${is} being sent now and may still arrive` : ''
  return delivered + sending
}

/** How many for which target: ` to crm`, or ` (crm 12, ops 5)`. */
export function named(targets: ReadonlyMap<string, number>): string {
  if (targets.size === 0) return ''
  if (targets.size === 1) return ` to ${[...targets.keys()][0]}`
  return ` (${[...targets].map(([target, count]) => `${target} ${count}`).join(', ')})`
}

/** The end of a command's help. */
export function examples(...lines: string[]): string {
  return `\n${lines.length === 1 ? 'Example' : 'Examples'}:\n${lines.map((line) => `  ultravox-relay ${line}`).join('\n')}`
}
