import { isAlias, isMap, isScalar, isSeq, type Node, type Pair, Scalar, type YAMLMap } from 'yaml'
import type { Finding, Path } from './finding.ts'
import type { YamlDocument } from './yaml-document.ts'
import { startOf } from './yaml-fault.ts'
import { isMergeKey, keyText, mergedMaps } from './yaml-keys.ts'

/** Where to show a finding, in characters from the start of the file. What is not there is shown at its parent. */
export function offsetOf(finding: Finding, yaml: YamlDocument): number {
  const { key, value, found } = follow(finding.path, yaml)
  if (!found || finding.at === 'key' || isBlank(value)) return startOf(key ?? value ?? yaml.document.contents!)
  return startOf(value!) + (typeof finding.at === 'number' ? offsetInside(value!, finding.at, yaml.text) : 0)
}

interface Place {
  /** The key of the value, where it has one. */
  readonly key: Node | null
  readonly value: Node | null
  /** Whether the path leads all the way; if not, key and value are of the last part that is there. */
  readonly found: boolean
}

function follow(path: Path, { document }: YamlDocument): Place {
  let place: Place = { key: null, value: document.contents, found: true }
  for (const segment of path) {
    const parent = isAlias(place.value) ? (place.value.resolve(document) ?? null) : place.value
    const next = isMap(parent)
      ? memberOf(parent, String(segment), document)
      : isSeq(parent) && typeof segment === 'number' && segment < parent.items.length
        ? { key: null, value: parent.items[segment] }
        : undefined
    if (next === undefined) return { ...place, found: false }
    place = { key: next.key as Node | null, value: next.value as Node | null, found: true }
  }
  return place
}

/** A member of a mapping, its own or merged into it: the last of two duplicates, the first of what is merged. */
function memberOf(map: YAMLMap, name: string, document: YamlDocument['document']): Pair | undefined {
  const own = map.items.findLast(({ key }) => keyText(key) === name)
  if (own !== undefined) return own
  for (const { key, value } of map.items) {
    if (!isMergeKey(key)) continue
    for (const merged of mergedMaps(value as Node | null, document)) {
      const found = merged === null ? undefined : memberOf(merged, name, document)
      if (found !== undefined) return found
    }
  }
  return undefined
}

/** `key:` with nothing behind it. */
function isBlank(node: Node | null): boolean {
  return node === null || (isScalar(node) && node.range?.[0] === node.range?.[1])
}

/**
 * How far into the file's text a position inside of a value is. Exact where the value stands there as it is; in block
 * scalars, and in quotes with escapes, it is the value's start.
 */
function offsetInside(node: Node, at: number, text: string): number {
  if (!isScalar(node)) return 0
  const quote = node.type === Scalar.QUOTE_DOUBLE || node.type === Scalar.QUOTE_SINGLE ? 1 : 0
  const standsAsItIs = text.startsWith(String(node.value), startOf(node) + quote)
  return standsAsItIs ? quote + Math.min(at, String(node.value).length) : 0
}
