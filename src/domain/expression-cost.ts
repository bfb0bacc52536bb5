import type { Expression } from 'jsonata'

/** The cost of an expression as far as it can be told from its text: both grow with the payload, never with its square. */
export interface Cost {
  /** Steps for each value (object, list, text, number, …) of the payload. */
  readonly perValue: number
  /** Functions that read a text from end to end. */
  readonly perCharacter: number
}

export const NO_COST: Cost = { perValue: 0, perCharacter: 0 }

/** Measured on two slow cores: a step takes up to 0.3 µs a value, so this many take up to 6 ms. */
const MOST_VALUE_STEPS = 20_000
/** `$trim` is the slowest, with 60 ns a character: up to 15 ms. */
const MOST_CHARACTER_STEPS = 250_000
/** A filter is evaluated for each element: 3 µs instead of 0.3. */
const FILTER_WEIGHT = 10

/**
 * Functions whose time is linear in their arguments and whose result is no larger than they are. Not among them: what takes
 * a function, repeats a text, sorts, or makes a regular expression of a picture.
 */
const LINEAR = new Set(
  `abs average boolean ceil contains count exists floor length lowercase max millis min not now number round sqrt
  string substring substringAfter substringBefore sum trim type uppercase`.split(/\s+/),
)

/** They compare with what is sought from each character on, so that has to be short. */
const SEARCHING = new Set(['contains', 'substringAfter', 'substringBefore'])
const MOST_SOUGHT = 100

const OPERATORS = new Set(['=', '!=', '<', '<=', '>', '>=', 'and', 'or', '+', '-', '*', '/', '%', '&', 'in'])

/**
 * The cost of an expression; null where nothing in its text bounds it. The list is of what is known to be harmless, so
 * whatever JSONata adds is not bounded until it is listed.
 */
export function costOf(expression: Expression): Cost | null {
  const cost = { perValue: 0, perCharacter: 0 }
  return add(expression.ast(), 1, cost) ? cost : null
}

export function sumOf(costs: readonly (Cost | null)[]): Cost | null {
  let [perValue, perCharacter] = [0, 0]
  for (const cost of costs) {
    if (cost === null) return null
    perValue += cost.perValue
    perCharacter += cost.perCharacter
  }
  return { perValue, perCharacter }
}

/** Whether an expression of this cost ends within some 20 ms on this payload. */
export function isCheap(cost: Cost, payload: unknown): boolean {
  if (cost.perValue === 0) return true
  const values = Math.floor(MOST_VALUE_STEPS / Math.max(1, cost.perValue))
  const characters = Math.floor(MOST_CHARACTER_STEPS / Math.max(1, cost.perCharacter))
  return isSmall(payload, values, characters)
}

/** Not recursive, as a payload may be nested without end; it ends as soon as one of the bounds is passed. */
function isSmall(payload: unknown, mostValues: number, mostCharacters: number): boolean {
  const pending: unknown[] = [payload]
  let [values, characters] = [0, 0]
  for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
    if (++values > mostValues) return false
    if (typeof value === 'string') characters += value.length
    if (characters > mostCharacters) return false
    if (typeof value !== 'object' || value === null) continue
    const members: readonly unknown[] = Array.isArray(value) ? value : Object.values(value)
    if (values + pending.length + members.length > mostValues) return false
    for (const member of members) pending.push(member)
  }
  return true
}

interface Node {
  readonly type: string
  readonly value?: unknown
  readonly [key: string]: unknown
}

/** Adds up a node and what is in it. False where it is not known to be bounded. */
function add(
  node: unknown,
  weight: number,
  cost: { perValue: number; perCharacter: number },
  isRelative = false,
): boolean {
  const each = (nodes: unknown) => (nodes as unknown[]).every((inner) => add(inner, weight, cost, isRelative))
  const { type, value, ...rest } = node as Node
  cost.perValue += weight
  // A filter on anything but a step, or a grouping.
  if (rest.predicate !== undefined || rest.group !== undefined) return false
  switch (type) {
    case 'string':
    case 'number':
    case 'value':
      return true
    case 'variable':
      // The context; the whole payload only where it is not read again for each element of a list.
      return value === '' || (value === '$' && !isRelative)
    case 'path':
      return (rest.steps as Node[]).every((step, index) => addStep(step, index === 0, weight, cost, isRelative))
    case 'binary':
      return OPERATORS.has(value as string) && each([rest.lhs, rest.rhs])
    case 'condition':
      return each([rest.condition, rest.then, ...(rest.else === undefined ? [] : [rest.else])])
    case 'block':
      return each(rest.expressions)
    case 'unary':
      if (value === '[') return each(rest.expressions)
      if (value === '-') return each([rest.expression])
      return value === '{' && each((rest.lhs as unknown[][]).flat())
    case 'function':
      return addFunction(rest, weight, cost, each)
    default:
      return false
  }
}

function addStep(
  step: Node,
  isFirst: boolean,
  weight: number,
  cost: { perValue: number; perCharacter: number },
  isRelative: boolean,
): boolean {
  const { type, stages = [], tuple } = step as Node & { stages?: Node[] }
  // With a tuple each element is joined with others.
  if (tuple !== undefined) return false
  if (type !== 'name' && !(isFirst && add({ ...step, stages: undefined }, weight, cost, isRelative))) return false
  cost.perValue += weight
  return stages.every(({ type, expr }) => type === 'filter' && add(expr, weight * FILTER_WEIGHT, cost, true))
}

function addFunction(
  { procedure, arguments: args }: Record<string, unknown>,
  weight: number,
  cost: { perValue: number; perCharacter: number },
  each: (nodes: unknown) => boolean,
): boolean {
  const { type, value: name } = procedure as Node
  if (type !== 'variable' || !LINEAR.has(name as string)) return false
  cost.perCharacter += weight
  const [text, second] = args as Node[]
  if (name === 'now') return text === undefined
  if (!SEARCHING.has(name as string)) return each(args)
  // With a context as its first argument, the only one written is what to search for.
  const sought = second ?? text
  return isQuicklyFound(sought) && (second === undefined || each([text]))
}

/** A text as it is written, or a pattern that never goes back: without group, repetition and reference to a group. */
function isQuicklyFound(sought: Node | undefined): boolean {
  const { type, value } = sought ?? {}
  if (type === 'string') return (value as string).length <= MOST_SOUGHT
  if (type !== 'regex') return false
  const { source } = value as RegExp
  return source.length <= MOST_SOUGHT && !/[*+?{(]|\\[1-9k]/.test(source)
}
