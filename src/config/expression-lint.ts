import { CALL_FIELDS } from '../domain/call-fields.ts'
import { compile, type ExpressionError, expressionAt } from '../domain/expression.ts'
import { jsonata } from '../domain/jsonata.ts'
import { nearest } from './suggestion.ts'

/**
 * Something in an expression that fails or means something else than it looks like. `offset` counts characters from the start of the
 * text. `error`: it can never do what it looks like. `warning`: it may.
 */
export interface Remark {
  readonly level: 'error' | 'warning'
  readonly message: string
  readonly offset: number
}

/** What an expression may refer to. */
export interface Known {
  /** Fields at the top of the payload besides `call` and `event`; null where any may be there. */
  readonly fields: readonly string[] | null
}

/** The functions of JSONata, without `$`. */
const FUNCTIONS: ReadonlySet<string> = new Set(
  `sum count max min average string substring substringBefore substringAfter lowercase uppercase length trim pad match contains
  replace split join formatNumber formatBase formatInteger parseInteger number floor ceil round abs sqrt power random boolean not
  map zip filter single reduce sift keys lookup append exists spread merge reverse each error assert type sort shuffle distinct
  base64encode base64decode encodeUrlComponent encodeUrl decodeUrlComponent decodeUrl eval toMillis fromMillis now millis clone`.split(
    /\s+/,
  ),
)

/** What other languages call the functions of JSONata, as methods or as functions. `x` stands for the value. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  at: 'x[0]',
  capitalize: '$uppercase($substring(x, 0, 1)) & $substring(x, 1)',
  concat: 'x & y',
  date: '$fromMillis($toMillis(x))',
  default: "x ?: 'default'",
  downcase: '$lowercase(x)',
  endsWith: '$contains(x, /text$/)',
  filter: "x[field = 'value']",
  find: "x[field = 'value'][0]",
  first: 'x[0]',
  format: '$fromMillis($toMillis(x))',
  get: 'x.field',
  has: '$exists(x)',
  includes: "$contains(x, 'text')",
  indexOf: "$contains(x, 'text')",
  isEmpty: '$not($boolean(x))',
  json: '$string(x)',
  last: 'x[-1]',
  len: '$length(x)',
  lower: '$lowercase(x)',
  parseFloat: '$number(x)',
  parseInt: '$number(x)',
  size: '$count(x)',
  slice: '$substring(x, 0, 10)',
  startsWith: '$contains(x, /^text/)',
  strip: '$trim(x)',
  stringify: '$string(x)',
  substr: '$substring(x, 0, 10)',
  toFixed: '$round(x, 2)',
  toISOString: '$fromMillis(x)',
  toJson: '$string(x)',
  toJsonString: '$string(x)',
  toLocaleString: '$string(x)',
  toLowerCase: '$lowercase(x)',
  toString: '$string(x)',
  toUpperCase: '$uppercase(x)',
  truncate: '$substring(x, 0, 10)',
  upcase: '$uppercase(x)',
  upper: '$uppercase(x)',
}

/** Variables of other tools. */
const ELSEWHERE_VARIABLES: Readonly<Record<string, string>> = {
  json: 'the payload is the context: write call.callId',
  node: 'other steps do not exist here: write call.callId',
  input: 'the payload is the context: write call.callId',
  item: 'the payload is the context: write call.callId',
  items: 'the payload is the context: write call.callId',
  body: 'the payload is the context: write call.callId',
  event: 'write event, without the $',
  call: 'write call, without the $',
  payload: 'write payload, without the $',
  env: 'write ${NAME} for a variable of the environment',
  today: 'write $now()',
  true: 'write true',
  false: 'write false',
  null: 'write null',
}

/** Bare names of other languages. */
const ELSEWHERE_NAMES: Readonly<Record<string, string>> = {
  None: 'null',
  nil: 'null',
  undefined: '$exists(x)',
  True: 'true',
  False: 'false',
  NULL: 'null',
  TRUE: 'true',
  FALSE: 'false',
}

/** Operators and forms of other languages, in code without its texts. The first that matches is reported. */
const SYNTAX: readonly (readonly [RegExp, string])[] = [
  [/&&/, 'JSONata combines conditions with "and": write a and b'],
  [/\|\|/, 'JSONata combines conditions with "or": write a or b'],
  [/!==/, 'JSONata compares with !=: write a != b'],
  [/===|==/, 'JSONata compares with =: write a = b'],
  [/<>/, 'JSONata compares with !=: write a != b'],
  [/\?\./, 'JSONata needs no ?. because a missing field gives nothing: write a.b'],
  [/=>/, 'JSONata writes functions as function($x) { … }'],
  [/\bnot\s+(?!\()/, 'JSONata negates with a function: write $not(a)'],
  [/\b(is|is not)\s+(null|none|nil|empty)\b/i, 'JSONata compares with =: write a = null'],
  [/\bnew\s+[A-Z]/, 'JSONata has no constructors: $now(), $toMillis(x) and $fromMillis(x) read and write times'],
  [/\btypeof\b/, 'JSONata has a function: write $type(x)'],
  [/![^=~]/, 'JSONata negates with a function: write $not(a)'],
  [/\|\s*\w+/, 'JSONata has no filters: write a function around the value, as in $uppercase(x)'],
  [/\bif\b/, 'JSONata chooses with ? and :, as in a ? b : c'],
]

/** Forms of other template languages, in the text around and inside of `{{ }}`. */
const TEMPLATE_SYNTAX: readonly (readonly [RegExp, string])[] = [
  [/\{\{~?\s*#\s*(if|unless)\b/, 'there are no blocks: write one expression, as in {{ a ? b : c }}'],
  [/\{\{~?\s*#/, 'there are no blocks: write one expression, as in {{ $join(list.name, ", ") }}'],
  [/\{\{~?\s*\/\s*\w+\s*~?\}\}/, 'there are no blocks: write one expression, as in {{ a ? b : c }}'],
  [/\{\{~?\s*else\b[^}]*\}\}/, 'there are no blocks: write one expression, as in {{ a ? b : c }}'],
  [/\{\{~?\s*\^/, 'there are no blocks: write one expression, as in {{ a ? b : c }}'],
  [/\{\{~?\s*>/, 'there are no partials: write the text itself'],
  [/\{\{\s*&/, 'values are never escaped for HTML: write {{ x }}'],
  [/\{\{!/, 'a comment is written {{ /* text */ }}, or # in YAML'],
  [/\{\{\{\s*[\w$.`]+\s*\}\}\}/, 'values are never escaped for HTML: write {{ x }}'],
  [/\{%/, 'there are no {% %} tags: write one expression, as in {{ a ? b : c }}'],
  [/<%/, 'there are no <% %> tags: write {{ x }}'],
]

/** Remarks on a condition. An empty list means that none is known. */
export function lintCondition(text: string, known: Known): Remark[] {
  const open = text.indexOf('{{')
  if (/^\s*=?\s*\{\{[^"{]/.test(text)) {
    return [error('is an expression as a whole: leave out the {{ and }}', open)]
  }
  return lintExpression(text, 0, known, true)
}

/** Remarks on a text with `{{ JSONata }}` in it. */
export function lintTemplate(text: string, known: Known): Remark[] {
  for (const [form, advice] of TEMPLATE_SYNTAX) {
    const found = form.exec(text)
    if (found !== null) return [error(advice, found.index)]
  }
  if (/^=\s*\{\{/.test(text)) return [error('needs no = before the {{', 0)]
  const remarks: Remark[] = []
  let rest = 0
  for (let open = text.indexOf('{{'); open !== -1; open = text.indexOf('{{', rest)) {
    let end: number
    try {
      end = expressionAt(text, open + 2).end
    } catch {
      const close = text.indexOf('}}', open)
      if (close === -1) return [...remarks, error('"{{" has no closing "}}"', open)]
      const code = text.slice(open + 2, close)
      return [...remarks, ...lintExpression(code, open + 2, known, false)]
    }
    remarks.push(...lintExpression(text.slice(open + 2, end - 2), open + 2, known, false))
    rest = end
  }
  return remarks
}

/** The message that `text` is JSONata from `offset` on is an `ExpressionError`'s; a form of another language is named instead. */
function lintExpression(text: string, start: number, known: Known, isCondition: boolean): Remark[] {
  try {
    compile(text)
  } catch (problem) {
    const { message, offset } = problem as ExpressionError
    const code = withoutTexts(text)
    for (const [form, advice] of SYNTAX) {
      const found = form.exec(code)
      if (found !== null) return [error(advice, start + found.index)]
    }
    return [error(`is not valid JSONata: ${message}`, start + offset)]
  }
  // As it is written: what `compile` returns is adapted.
  const root = jsonata()(text).ast() as unknown as Node
  const remarks: Remark[] = []
  const report = (level: Remark['level'], message: string, node: Node) => {
    const offset = start + offsetOf(node)
    if (!remarks.some((other) => other.message === message)) remarks.push({ level, message, offset })
  }
  new Linter(known, report).lint(root, isCondition)
  return remarks
}

interface Node {
  readonly type: string
  readonly value?: unknown
  readonly position?: number
  readonly [key: string]: unknown
}

type Report = (level: Remark['level'], message: string, node: Node) => void

class Linter {
  readonly #known: Known
  readonly #report: Report
  readonly #bound = new Set<string>()
  readonly #called = new Set<unknown>()
  /** The part after the dash of a key that was taken for a subtraction. */
  readonly #halves = new Set<unknown>()

  constructor(known: Known, report: Report) {
    this.#known = known
    this.#report = report
  }

  lint(root: Node, isCondition: boolean): void {
    for (const node of nodesIn(root)) {
      if (node.type === 'bind') this.#bound.add((node.lhs as Node).value as string)
      if (node.type === 'lambda') for (const { value } of node.arguments as Node[]) this.#bound.add(value as string)
      if (node.type === 'function' || node.type === 'partial') this.#called.add(node.procedure)
      for (const key of ['focus', 'index']) if (typeof node[key] === 'string') this.#bound.add(node[key])
    }
    for (const node of nodesIn(root)) this.#lintNode(node)
    this.#lintFields(root)
    if (isCondition) this.#lintTruth(root)
  }

  #lintNode(node: Node): void {
    const { type, value } = node
    const filters = [...((node.stages as Node[]) ?? []), ...((node.predicate as Node[]) ?? [])]
    for (const { type, expr } of filters) if (type === 'filter') this.#lintFilter(expr as Node)
    if (type === 'function' || type === 'partial') this.#lintCall(node)
    if (type === 'variable' && !this.#called.has(node)) this.#lintVariable(node)
    if (type === 'string' && typeof value === 'string' && value.includes('{{')) {
      this.#report(
        'error',
        'has {{ inside of a text, where it is not filled in: join with &, as in "Call " & call.callId',
        node,
      )
    }
    if (type === 'string' && typeof value === 'string' && /\$\{[a-z]/.test(value)) {
      this.#report(
        'warning',
        'has ${ inside of a text, where it is not filled in: join with &, as in "Call " & call.callId',
        node,
      )
    }
    if (type === 'binary') this.#lintBinary(node)
    if (type === 'path') this.#lintPath(node)
  }

  /** `x['key']` keeps `x` as it is, since a text is true. */
  #lintFilter(filter: Node): void {
    if (filter.type !== 'string') return
    const key = filter.value as string
    this.#report(
      'error',
      `selects everything, since a text in [ ] is a condition that is true: write .${quoted(key)}`,
      filter,
    )
  }

  #lintCall(node: Node): void {
    const procedure = node.procedure as Node
    if (procedure.type === 'path') {
      const name = (procedure.steps as Node[]).at(-1)!.value
      if (typeof name !== 'string') return
      this.#report('error', `JSONata has no method ${name}(): write ${callFor(name)}`, procedure)
    } else if (procedure.type === 'variable') {
      const name = procedure.value as string
      if (FUNCTIONS.has(name) || this.#bound.has(name)) return
      this.#report('error', `there is no function $${name}${advised(name)}`, procedure)
    }
  }

  #lintVariable(node: Node): void {
    const name = node.value as string
    if (name === '' || name === '$' || FUNCTIONS.has(name) || this.#bound.has(name)) return
    const advice = ELSEWHERE_VARIABLES[name] ?? 'fields of the payload are written without $, as in call.callId'
    this.#report('error', `there is no variable $${name}: ${advice}`, node)
  }

  #lintBinary(node: Node): void {
    const [lhs, rhs] = [node.lhs as Node, node.rhs as Node]
    if (node.value === '-' && lhs.type === 'path' && rhs.type === 'path') {
      const [last, first, ...more] = [namesOf(lhs).at(-1), ...namesOf(rhs)]
      if (last === undefined || first === undefined || more.length > 0) return
      if (ROOTS.has(first) || this.#known.fields?.includes(first)) return
      this.#halves.add(rhs)
      const whole = [...namesOf(lhs).slice(0, -1), quoted(`${last}-${first}`)].join('.')
      this.#report('error', `subtracts: a key with a dash in it is written ${whole}`, node)
    }
    const isList = rhs.type === 'unary' && rhs.value === '['
    if ((node.value === '=' || node.value === '!=') && isList && (rhs.expressions as Node[]).length > 1) {
      const form = node.value === '=' ? 'x in ["a", "b"]' : '$not(x in ["a", "b"])'
      this.#report('warning', `compares with the whole list: for one of its elements write ${form}`, node)
    }
    if ((node.value === 'and' || node.value === 'or') && [lhs, rhs].some(({ type }) => type === 'string')) {
      const form = 'x = "a" or x = "b", or x in ["a", "b"]'
      this.#report('warning', `has a text next to "${node.value}", which is always true: write ${form}`, node)
    }
    if (node.value === '+' && [lhs, rhs].some(({ type }) => type === 'string')) {
      this.#report(
        'error',
        'adds numbers, and one side is a text: texts are joined with &, as in "Call " & call.callId',
        node,
      )
    }
  }

  #lintPath(node: Node): void {
    const steps = node.steps as Node[]
    const last = steps.at(-1)!
    const names = namesOf(node)
    if (last.type !== 'name' || last.value !== 'length' || steps.length < 2) return
    if (names.some((name) => OPEN.has(name))) return
    const form = '$length(x) for a text, $count(x) for a list'
    this.#report('error', `JSONata has no property length: write ${form}`, last)
  }

  /** Fields that no event has. Only at the top: what is inside of filters and functions may be about something else. */
  #lintFields(root: Node): void {
    for (const path of rootPaths(root)) {
      const [first, ...rest] = namesOf(path)
      if (first === undefined || this.#halves.has(path)) continue
      if (first in ELSEWHERE_NAMES && rest.length === 0) {
        this.#report('error', `${first} is the name of a field in JSONata: write ${ELSEWHERE_NAMES[first]}`, path)
      } else if (first === 'call') this.#lintField('call', rest[0], CALL_FIELDS, path)
      else if (first === 'event') this.#lintField('event', rest[0], EVENT_FIELDS, path)
      else if (first === 'attached') this.#lintField('attached', rest[0], ATTACHED_FIELDS, path)
      else if (first !== 'payload') this.#lintTop(first, path)
    }
  }

  #lintField(parent: string, name: string | undefined, all: readonly string[], path: Node): void {
    // Other sources may send other calls.
    if (name === undefined || all.includes(name) || this.#known.fields === null) return
    const near = nearest(name, all)
    const advice =
      near === undefined
        ? `its fields are ${all.length > 8 ? 'those of the provider’s Call' : all.join(', ')}`
        : `did you mean ${parent}.${near}?`
    this.#report('warning', `no known event has ${parent}.${name}: ${advice}`, path)
  }

  #lintTop(name: string, path: Node): void {
    const { fields } = this.#known
    if (fields === null || fields.includes(name)) return
    const inCall = CALL_FIELDS.includes(name) ? `call.${name}` : undefined
    const near = inCall ?? nearest(name, [...ROOTS, ...fields])
    const advice = near === undefined ? 'fields of the call are written call.name' : `did you mean ${near}?`
    this.#report('warning', `no known event has a field ${name}: ${advice}`, path)
  }

  /** A condition that is the same for every event. */
  #lintTruth(root: Node): void {
    if (root.type === 'string' || root.type === 'number') {
      this.#report('warning', 'is the same for every event: write a comparison, as in call.endReason = "hangup"', root)
    }
  }
}

/** Names at the top of what an expression sees. */
const ROOTS: ReadonlySet<string> = new Set(['call', 'event', 'payload', 'attached'])
const EVENT_FIELDS = ['id', 'name', 'source', 'receivedAt']
const ATTACHED_FIELDS = ['transcript', 'recording']
/** Objects whose keys are the customer's. */
const OPEN: ReadonlySet<string> = new Set([
  'metadata',
  'initialState',
  'requestContext',
  'experimentalSettings',
  'payload',
])

/** Every node of a tree, once. */
function* nodesIn(node: unknown, seen = new Set<unknown>()): Iterable<Node> {
  if (typeof node !== 'object' || node === null || seen.has(node) || node instanceof RegExp) return
  seen.add(node)
  if (!Array.isArray(node) && typeof (node as Node).type === 'string') yield node as Node
  for (const inner of Object.values(node)) yield* nodesIn(inner, seen)
}

/** The paths that begin at the top of the payload. */
function* rootPaths(node: unknown): Iterable<Node> {
  if (Array.isArray(node)) {
    for (const inner of node) yield* rootPaths(inner)
    return
  }
  if (typeof node !== 'object' || node === null) return
  const { type, steps } = node as Node & { steps?: Node[] }
  if (type === 'path') {
    if (steps![0]!.type === 'name') yield node as Node
    else yield* rootPaths(steps![0])
    return
  }
  if (type === 'lambda') return
  const inner = node as Node
  const children = ['lhs', 'rhs', 'expression', 'expressions', 'arguments', 'condition', 'then', 'else']
  for (const key of children) yield* rootPaths(inner[key])
}

/** The plain names that a path begins with. */
function namesOf({ steps }: Node): string[] {
  const all = steps as Node[]
  const end = all.findIndex(({ type }) => type !== 'name')
  return all.slice(0, end === -1 ? all.length : end).map(({ value }) => value as string)
}

/** Where a node begins. JSONata says where the first of its tokens ends. */
function offsetOf(node: Node): number {
  for (const { type, value, position } of nodesIn(node)) {
    if (position !== undefined) return Math.max(0, position - (type === 'name' ? String(value).length : 1))
  }
  return 0
}

function quoted(key: string): string {
  return /^[A-Za-z_]\w*$/.test(key) ? key : `\`${key}\``
}

function callFor(name: string): string {
  if (FUNCTIONS.has(name)) return name === 'contains' ? "$contains(x, 'text')" : `$${name}(x)`
  return ELSEWHERE[name] ?? 'one of its functions, as in $string(x)'
}

function advised(name: string): string {
  if (name in ELSEWHERE) return `: write ${ELSEWHERE[name]}`
  const near = nearest(name, FUNCTIONS)
  return near === undefined ? '' : `: did you mean $${near}?`
}

/** The code with blanks in place of its texts, names in quotes, patterns and comments. */
function withoutTexts(code: string): string {
  return code.replace(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`|\/\*[\s\S]*?\*\//g, (text) =>
    ' '.repeat(text.length),
  )
}

function error(message: string, offset: number): Remark {
  return { level: 'error', message, offset }
}
