import { CALL_FIELDS } from '../../domain/call-fields.ts'
import { ANY_KEY, parseFieldPath } from '../../domain/field-path.ts'
import { bound, type Piece } from '../bound-references.ts'
import type { Draft, SoundTarget } from '../draft.ts'
import { type Known, lintCondition, lintTemplate, type Remark } from '../expression-lint.ts'
import type { Finding, Path } from '../finding.ts'
import { parseReferences } from '../reference-parser.ts'
import { hasReference, withoutFallbacks } from '../references.ts'
import { didYouMean } from '../suggestion.ts'

/** Fields at the top of the relay's own events. */
const RELAY_FIELDS = 'at count message certificate delivery gap outbox reconcile source target webhook'.split(' ')

type Written = Draft['surroundings']['written']

/**
 * Every JSONata expression is compiled and checked for what other languages write otherwise, so that a mistake shows now and not when
 * the first event comes.
 */
export function* checkExpressions(draft: Draft): Iterable<Finding> {
  const { written } = draft.surroundings
  for (const [index, route] of draft.routes.entries()) {
    const path = ['routes', index, 'when']
    const { when } = route
    if (when === undefined) continue
    const shown = withoutReferences(written(path), 'expression')
    yield* located(lintCondition(shown ?? when, knownTo(draft, [route])), path, shown !== undefined)
    yield* checkNumbers(written(path), path)
  }
  for (const [name, target] of draft.targets) {
    const known = knownTo(
      draft,
      draft.routes.filter(({ to = [] }) => to.includes(name)),
    )
    const path = ['targets', name]
    if (known.fields !== null) yield* checkRedacted(target, path)
    for (const string of templatesOf(target, path)) yield* checkTemplate(string, known, written)
    yield* checkHeaderTemplates(target, path, known, written)
  }
}

interface Text {
  readonly text: string
  readonly path: Path
}

function* templatesOf(target: SoundTarget, path: Path): Iterable<Text> {
  if (target.type === 'http') yield* stringsIn(target.body, [...path, 'body'])
  if (target.type !== 'slack') return
  for (const key of ['text', 'blocks'] as const) yield* stringsIn(target[key], [...path, key])
}

function* checkTemplate({ text, path }: Text, known: Known, written: Written): Iterable<Finding> {
  const shown = withoutReferences(written(path), 'template')
  yield* located(lintTemplate(shown ?? text, known), path, shown !== undefined)
  if (text.includes('{{')) yield* checkNumbers(written(path), path)
}

/** A reference is a text, and JSONata fails where a number is compared with one. */
function* checkNumbers(written: unknown, path: Path): Iterable<Finding> {
  if (typeof written !== 'string') return
  const [, after, before] = /[<>]=?\s*(\$\{[^{}]*\})|(\$\{[^{}]*\})\s*[<>]/.exec(written) ?? []
  const reference = after ?? before
  if (reference === undefined) return
  const shown = withoutFallbacks(reference)
  const message = `${shown} is a text, and is compared by size: write $number(${shown}) where it is a number`
  yield { path, message, level: 'warning' }
}

/** Header values are secrets, and the compiler quotes what it stumbles over. */
function* checkHeaderTemplates(target: SoundTarget, path: Path, known: Known, written: Written): Iterable<Finding> {
  if (!('headers' in target)) return
  for (const name of Object.keys(target.headers ?? {})) {
    const headerPath = [...path, 'headers', name]
    const text = target.headers![name]!.reveal()
    for (const finding of checkTemplate({ text, path: headerPath }, known, written)) {
      yield { ...finding, message: finding.message.replace(/^(is not valid JSONata): .*/s, '$1 from here on') }
    }
  }
}

/** Redacted fields that look mistyped: what they were to take out would be sent. */
function* checkRedacted(target: SoundTarget, path: Path): Iterable<Finding> {
  if (target.type !== 'http') return
  for (const [index, text] of (target.redact ?? []).entries()) {
    const [top, field] = parseFieldPath(text)
    const at = [...path, 'redact', index]
    if (typeof top === 'string' && CALL_FIELDS.includes(top)) {
      yield { path: at, message: `no known event has a field ${top}: did you mean call.${top}?`, level: 'warning' }
    } else if (top === 'call' && typeof field === 'string' && field !== ANY_KEY && !CALL_FIELDS.includes(field)) {
      const near = didYouMean(field, CALL_FIELDS)
      if (near !== '')
        yield { path: at, message: `no known event has a field of this name in call${near}`, level: 'warning' }
    }
  }
}

/** What expressions on these routes may refer to. */
function knownTo({ sources }: Draft, routes: readonly Draft['routes'][number][]): Known {
  const named = routes.flatMap(({ source }) => (source === undefined ? [...sources.keys()] : [source].flat()))
  // Sources without verification bring events of any kind.
  if (routes.length === 0 || named.some((name) => sources.get(name)?.scheme === 'none')) return { fields: null }
  const patterns = routes.flatMap(({ events = [] }) => events)
  return { fields: patterns.some((pattern) => pattern.startsWith('relay')) ? RELAY_FIELDS : [] }
}

/** A text with a stand-in for what its references stand for, which the compiler may quote; undefined where it has none. */
function withoutReferences(written: unknown, syntax: 'template' | 'expression'): string | undefined {
  if (typeof written !== 'string' || !hasReference(written)) return undefined
  const pieces = parseReferences(written).map((part): Piece => {
    return part.kind === 'text' ? { kind: 'written', text: part.text } : { kind: 'value', text: '0' }
  })
  const stoodIn = bound(pieces, syntax)
  return 'text' in stoodIn ? stoodIn.text : undefined
}

/** `isChanged`: the positions are not those in the file. */
function* located(remarks: readonly Remark[], path: Path, isChanged: boolean): Iterable<Finding> {
  for (const { level, message, offset } of remarks) {
    yield { path, message, ...(!isChanged && { at: offset }), ...(level === 'warning' && { level }) }
  }
}

function* stringsIn(value: unknown, path: Path): Iterable<Text> {
  if (typeof value === 'string') yield { text: value, path }
  else if (Array.isArray(value)) for (const [index, item] of value.entries()) yield* stringsIn(item, [...path, index])
  else if (typeof value === 'object' && value !== null) {
    for (const [key, item] of Object.entries(value)) yield* stringsIn(item, [...path, key])
  }
}
