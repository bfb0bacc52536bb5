import {
  Document,
  isAlias,
  isMap,
  isScalar,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  Scalar,
  visit,
  type YAMLError,
} from 'yaml'
import type { Path } from './finding.ts'
import { aliasFaults } from './yaml-aliases.ts'
import { MOST_LEVELS, tooDeepAt } from './yaml-depth.ts'
import { type Fault, startOf } from './yaml-fault.ts'
import { yamlHint } from './yaml-hints.ts'

/** A parsed file. Where it is `broken` as YAML, `value` is undefined and only the faults mean anything. */
export interface YamlDocument {
  readonly document: Document
  readonly lines: LineCounter
  readonly text: string
  readonly faults: readonly Fault[]
  readonly broken: boolean
  readonly value: unknown
}

/** Parses YAML 1.2 and says everything that is wrong with it, in plain words. Never throws. */
export function parseYaml(text: string): YamlDocument {
  const lines = new LineCounter()
  const tooDeep = tooDeepAt(text)
  if (tooDeep !== null) return tooDeeplyNested(text, tooDeep)
  // Duplicate keys are found below instead: they get a path, and do not keep the rest from being checked.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: false })
  const syntax = [...syntaxFaults(document, lines), ...structureFaults(document)]
  const broken = syntax.length > 0
  const faults = broken ? syntax : duplicateKeys(document, lines)
  return { document, lines, text, faults, broken, value: broken ? undefined : document.toJS({ maxAliasCount: -1 }) }
}

function tooDeeplyNested(text: string, offset: number): YamlDocument {
  const lines = new LineCounter()
  lines.addNewLine(0)
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) lines.addNewLine(at + 1)
  const message = `is not valid YAML: it is nested more than ${MOST_LEVELS} levels deep here`
  return {
    document: new Document(),
    lines,
    text,
    faults: [{ offset, path: [], message }],
    broken: true,
    value: undefined,
  }
}

/**
 * What the parser stumbled over. An unresolved tag is only a warning to it, but its value would not be what was meant.
 * One slip makes it stumble over the rest of the line, or find every line that follows unexpected: the first is told.
 */
function syntaxFaults({ errors, warnings }: Document, lines: LineCounter): Fault[] {
  const stumbles = [...errors, ...warnings].sort((a, b) => a.pos[0] - b.pos[0])
  const lineOf = (stumble: YAMLError) => lines.linePos(stumble.pos[0]).line
  const worthTelling = stumbles.filter((stumble, index) => {
    const last = stumbles[index - 1]
    if (last === undefined) return true
    const unexpectedAgain = stumble.code === 'UNEXPECTED_TOKEN' && last.code === 'UNEXPECTED_TOKEN'
    return !unexpectedAgain && lineOf(stumble) !== lineOf(last)
  })
  return worthTelling.map(({ code, pos, message }) => {
    return { offset: pos[0], path: [], message: `is not valid YAML: ${yamlHint(code, message)}` }
  })
}

/** What parses, but cannot be turned into plain values. */
function structureFaults(document: Document): Fault[] {
  if (document.errors.length > 0) return []
  const faults = aliasFaults(document)
  visit(document, {
    Pair(_, { key }) {
      if (keyText(key) === '__proto__') {
        // Zod leaves it out without a word.
        faults.push({ offset: startOf(key as Node), path: [], message: 'this cannot be a key: choose another name' })
      }
      // The parser would write such a key out in a warning of its own, whatever is in it.
      if (isScalar(isAlias(key) ? (key.resolve(document) ?? new Scalar(null)) : key)) return
      const message = 'a list or mapping cannot be a key: put a value that starts with { or [ into quotes'
      faults.push({ offset: startOf(key as Node), path: [], message })
    },
  })
  return faults
}

function duplicateKeys(document: Document, lines: LineCounter): Fault[] {
  const faults: Fault[] = []
  visit(document, {
    Map(_, map, ancestors) {
      const first = new Map<string, Node>()
      for (const { key } of map.items as Pair<Node>[]) {
        const name = keyText(key)
        const earlier = first.get(name)
        if (earlier === undefined) {
          first.set(name, key)
          continue
        }
        const { line } = lines.linePos(startOf(earlier))
        const path = [...pathOf([...ancestors, map]), name]
        faults.push({ offset: startOf(key), path, message: `is there already, on line ${line}: remove one of the two` })
      }
    },
  })
  return faults
}

/** A key as it becomes one in plain values: `8080:` and `"8080":` are the same. */
export function keyText(key: unknown): string {
  return isScalar(key) ? String(key.value) : String(key)
}

function pathOf(nodes: readonly (Document | Node | Pair)[]): Path {
  const path: (string | number)[] = []
  for (const [index, node] of nodes.entries()) {
    const child = nodes[index + 1]
    if (child === undefined) break
    if (isMap(node)) path.push(keyText((child as Pair).key))
    else if ('items' in node) path.push(node.items.indexOf(child as never))
  }
  return path
}
