import type { Node } from 'yaml'
import type { Path } from './finding.ts'

/** Something wrong with the file as YAML, `offset` characters from its start. */
export interface Fault {
  readonly offset: number
  readonly path: Path
  readonly message: string
}

/** Where a node starts, in characters from the start of the file. */
export function startOf(node: Node): number {
  return node.range?.[0] ?? 0
}
