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
import { isMergeKey, keyText, mergedMaps } from './yaml-keys.ts'
import { type Slip, slipOnLine, unclosed } from './yaml-slips.ts'

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
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: false, merge: true })
  const syntax = [...syntaxFaults(document, lines, text), ...structureFaults(document, text)]
  const broken = syntax.length > 0
  const faults = broken ? syntax : duplicateKeys(document, lines)
  const value = broken ? undefined : withoutExtensions(document.toJS({ maxAliasCount: -1 }))
  return { document, lines, text, faults, broken, value }
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

/** A file without its keys that begin with `x-`, which are a place for anchors. */
function withoutExtensions(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).filter(([key]) => !key.startsWith('x-')))
}

/**
 * What the parser stumbled over. An unresolved tag is only a warning to it, but its value would not be what was meant.
 * One slip makes it stumble over the rest of the line, or find every line that follows unexpected: the first is reported, where
 * it was made as far as that can be known.
 */
function syntaxFaults({ errors, warnings }: Document, lines: LineCounter, text: string): Fault[] {
  const stumbles = [...errors, ...warnings].sort((a, b) => a.pos[0] - b.pos[0])
  const lineOf = (stumble: YAMLError) => lines.linePos(stumble.pos[0]).line
  const worthTelling = stumbles.filter((stumble, index) => {
    const last = stumbles[index - 1]
    if (last === undefined) return true
    const isAfter = last.code === 'UNEXPECTED_TOKEN' || last.code === 'MULTILINE_IMPLICIT_KEY'
    const unexpectedAgain = stumble.code === 'UNEXPECTED_TOKEN' && isAfter
    return !unexpectedAgain && lineOf(stumble) !== lineOf(last)
  })
  const faults = worthTelling.map(({ code, pos: [offset], message }) => {
    const slip = slipOnLine(text, offset)
    const isExplained = slip !== null && EXPLAINED.has(code)
    return syntaxFault(isExplained ? slip : { offset, hint: yamlHint(code, message) })
  })
  // After these nothing is where it was meant to be.
  const isFirst = ({ offset }: Slip) => faults.every((fault) => fault.offset >= offset)
  const bracket = errors.length === 0 ? null : unclosed(text)
  const [first] = [bracket?.closesNothing && !isFirst(bracket) ? null : bracket, tabs(errors, lines)]
    .filter((slip) => slip !== null)
    .sort((a, b) => a.offset - b.offset)
  if (first === undefined) return faults
  const { line } = lines.linePos(first.offset)
  return [...faults.filter(({ offset }) => lines.linePos(offset).line < line), syntaxFault(first)]
}

/** What slips on a line make the parser say. */
const EXPLAINED = new Set(
  'BAD_INDENT BLOCK_AS_IMPLICIT_KEY MISSING_CHAR MULTILINE_IMPLICIT_KEY UNEXPECTED_TOKEN'.split(' '),
)

function syntaxFault({ offset, hint }: Slip): Fault {
  return { offset, path: [], message: `is not valid YAML: ${hint}` }
}

/** The first tab that indents, and how many lines more have one. */
function tabs(errors: readonly YAMLError[], lines: LineCounter): Slip | null {
  const found = errors.filter(({ code }) => code === 'TAB_AS_INDENT')
  if (found.length === 0) return null
  const offsets = found.map(({ pos }) => pos[0])
  const others = new Set(offsets.map((offset) => lines.linePos(offset).line)).size - 1
  const more = others === 0 ? '' : ` (so ${others === 1 ? 'does one' : `do ${others}`} more below)`
  return { offset: Math.min(...offsets), hint: `${yamlHint('TAB_AS_INDENT', '')}${more}` }
}

/** What parses, but cannot be turned into plain values. */
function structureFaults(document: Document, text: string): Fault[] {
  if (document.errors.length > 0) return []
  const faults = aliasFaults(document)
  visit(document, {
    Pair(_, { key, value }) {
      if (isMergeKey(key) && !isMergeable(value as Node | null, document)) {
        const message = '<< takes mappings: write <<: *name, or <<: [*one, *other]'
        faults.push({ offset: startOf(key as Node), path: [], message })
      }
      if (keyText(key) === '__proto__') {
        // Zod leaves it out without a word.
        faults.push({ offset: startOf(key as Node), path: [], message: 'this cannot be a key: choose another name' })
      }
      // The parser would write such a key out in a warning of its own, whatever is in it.
      if (isScalar(isAlias(key) ? (key.resolve(document) ?? new Scalar(null)) : key)) return
      const offset = startOf(key as Node)
      const isTemplate = text[offset] === '{' && text[offset - 1] === '{'
      if (isTemplate) {
        faults.push(syntaxFault({ offset: offset - 1, hint: 'a template needs quotes, as in "{{ call.callId }}"' }))
      } else {
        const message = 'a list or mapping cannot be a key: put a value that starts with { or [ into quotes'
        faults.push({ offset, path: [], message })
      }
    },
  })
  return faults
}

function isMergeable(value: Node | null, document: Document): boolean {
  // An alias of nothing is reported by itself.
  if (isAlias(value) && value.resolve(document) === undefined) return true
  return mergedMaps(value, document).every((map) => map !== null)
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
