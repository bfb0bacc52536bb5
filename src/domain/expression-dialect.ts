import type { Expression } from 'jsonata'

interface Node {
  type: string
  value?: unknown
  position?: number
  [key: string]: unknown
}

/**
 * Adapts a compiled expression to payloads in which fields may be missing:
 *
 * - `a != b` is true where an operand is missing, which JSONata says is false: an event without the field would be lost.
 * - `a = null` is true where `a` is missing. `a != null` stays as JSONata has it: false for what is missing or null.
 * - `event` alone is the event's name; `event.id` and its other fields are the relay's view of the event.
 *
 * Changes the expression in place, since JSONata evaluates the tree that `ast()` returns.
 */
export function adaptExpression(expression: Expression): Expression {
  const root = expression.ast() as Node
  adaptEverywhere(root, new Set())
  nameEvents(root)
  return expression
}

/** What does not depend on the context: comparisons, and `$$`, the whole of it. */
function adaptEverywhere(node: unknown, seen: Set<object>): void {
  if (typeof node !== 'object' || node === null || seen.has(node)) return
  seen.add(node)
  for (const inner of Object.values(node)) adaptEverywhere(inner, seen)
  const { type, value, lhs, rhs, steps } = node as Node & { steps?: Node[] }
  if (type === 'path' && steps![0]!.type === 'variable' && steps![0]!.value === '$') nameEvent(steps!, 1)
  if (type !== 'binary' || (value !== '!=' && value !== '=')) return
  const comparesWithNull = isNull(lhs) || isNull(rhs)
  if (comparesWithNull === (value === '=')) negate(node as Node, value === '=' ? '!=' : '=')
}

function isNull(node: unknown): boolean {
  const { type, value } = node as Node
  return type === 'value' && value === null
}

/** Turns a comparison into `$not` of the opposite one. */
function negate(node: Node, operator: string): void {
  const { position, ...rest } = node
  const compared = { ...rest, position, value: operator }
  for (const key of Object.keys(rest)) delete node[key]
  Object.assign(node, {
    type: 'function',
    value: '(',
    procedure: { type: 'variable', value: 'not', position },
    arguments: [compared],
  })
}

/** Where a node's children see the same context as the node itself. All others, such as filters, see another one. */
const SAME_CONTEXT = new Set('lhs rhs expression expressions arguments condition then else body'.split(' '))

function nameEvents(node: unknown): void {
  if (Array.isArray(node)) {
    for (const inner of node) nameEvents(inner)
    return
  }
  if (typeof node !== 'object' || node === null) return
  const { type, steps = [] } = node as Node & { steps?: Node[] }
  if (type !== 'path') {
    for (const [key, inner] of Object.entries(node)) if (SAME_CONTEXT.has(key)) nameEvents(inner)
    return
  }
  const [first] = steps
  // `$` is the context.
  if (!nameEvent(steps, first!.type === 'variable' && first!.value === '' ? 1 : 0)) nameEvents(first)
}

/** Makes `event` alone at this step mean `event.name`. Returns whether the step is `event`. */
function nameEvent(steps: Node[], at: number): boolean {
  const event = steps[at]
  if (event?.type !== 'name' || event.value !== 'event') return false
  const next = steps[at + 1]
  const isAlone = next === undefined || next.type === 'function'
  if (isAlone && event.stages === undefined) {
    steps.splice(at + 1, 0, { type: 'name', value: 'name', position: event.position! })
  }
  return true
}
