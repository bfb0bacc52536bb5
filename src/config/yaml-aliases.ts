import { type Document, isAlias, isCollection, isNode, isPair } from 'yaml'
import { looksLikeKey } from '../domain/secret.ts'
import type { Path } from './finding.ts'
import { didYouMean } from './suggestion.ts'
import { type Fault, startOf } from './yaml-fault.ts'
import { keyText } from './yaml-keys.ts'

/** How many values a file may come to once each alias is what it stands for: far more than any that was written by hand. */
const MOST_VALUES = 50_000

/**
 * What is wrong with the aliases of a document: that they stand for nothing, for what they are part of, or together for too
 * much. A few lines of aliases of aliases can come to more than there is memory. The parser's own bound counts how
 * often an alias is used, and refuses a hundred targets that share one policy.
 */
export function aliasFaults(document: Document): Fault[] {
  const faults: Fault[] = []
  /** How many values each anchor stands for; null inside of it. */
  const anchored = new Map<string, number | null>()
  let values = 0
  let isTooMuch = false

  function aliasSize(source: string, offset: number, path: Path): number {
    const size = anchored.get(source)
    if (size === undefined) {
      const name = isShown(source, path) ? source : 'like this'
      const near = isShown(source, path) ? didYouMean(source, anchored.keys()) : ''
      const message = `is not valid YAML: no anchor is named ${name}${near}; if it is a text, put it into quotes, as in ["*"]`
      faults.push({ offset, path: [], message })
    } else if (size === null) {
      faults.push({ offset, path: [], message: 'this alias stands inside of what it stands for: write it out' })
    }
    values += size ?? 0
    if (values > MOST_VALUES && !isTooMuch) {
      isTooMuch = true
      faults.push({
        offset,
        path: [],
        message: `up to this alias the file stands for more than ${MOST_VALUES} values: use fewer`,
      })
    }
    return size ?? 0
  }

  /** Goes through a node in the order of the file, by which an alias stands for the last anchor of its name. */
  function sizeOf(node: unknown, path: Path): number {
    if (isAlias(node)) return aliasSize(node.source, startOf(node), path)
    if (isPair(node)) return sizeOf(node.key, path) + sizeOf(node.value, [...path, keyText(node.key)])
    const anchor = isNode(node) && 'anchor' in node ? node.anchor : undefined
    if (anchor !== undefined) anchored.set(anchor, null)
    values += 1
    let size = 1
    if (isCollection(node)) for (const item of node.items) size += sizeOf(item, path)
    if (anchor !== undefined) anchored.set(anchor, size)
    return size
  }

  sizeOf(document.contents, [])
  return faults
}

/** Keys whose values name things. Elsewhere a text after * may be a password without quotes. */
const NAMING = new Set(['routes', 'events', 'to', 'source', 'retry', 'breaker', 'rateLimit', '<<'])

function isShown(name: string, path: Path): boolean {
  return path.some((segment) => NAMING.has(String(segment))) && !looksLikeKey(name)
}
