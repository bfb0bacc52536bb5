import type { EvaluationError } from './evaluation-error.ts'
import { compile, compileCondition } from './expression.ts'

/** What a condition comes to on a payload, and why. */
export interface Explanation {
  /** One that fails counts as true, as in `routeEvent`. */
  readonly holds: boolean
  /** What the expression itself gives, before it is cast to true or false; undefined where it is nothing. */
  readonly value: unknown
  /** Why it failed, where it did. */
  readonly error: string | null
  /** The fields of the payload that it mentions, each once. */
  readonly fields: readonly { readonly path: string; readonly value: unknown }[]
}

/** `context`: see `eventContext`. Throws `ExpressionError` if the text is not JSONata. */
export async function explainCondition(text: string, context: unknown): Promise<Explanation> {
  const condition = compileCondition(text)
  const expression = compile(text)
  const paths = new Set([...pathsIn(expression.ast())].map((keys) => keys.join('.')))
  const fields = await Promise.all(
    [...paths].map(async (path) => ({ path, value: plain(await compile(path).evaluate(context)) })),
  )
  try {
    return { holds: await condition(context), value: plain(await expression.evaluate(context)), error: null, fields }
  } catch (error) {
    return { holds: true, value: undefined, error: (error as EvaluationError).problem, fields }
  }
}

/** A value without what JSONata adds to it, so that it can be sent to another process. */
function plain(value: unknown): unknown {
  const json = JSON.stringify(value)
  if (json !== undefined) return JSON.parse(json)
  return value === undefined ? undefined : 'a function'
}

/**
 * The ways into the payload, as far as they are made of plain keys. What stands inside of a step (a filter, say) or a
 * function's body starts somewhere else and is not looked at.
 */
function* pathsIn(node: unknown): Iterable<string[]> {
  if (typeof node !== 'object' || node === null) return
  const { type, steps } = node as { type?: unknown; steps?: { type?: unknown; value?: unknown }[] }
  if (type === 'lambda') return
  if (type !== 'path' || steps === undefined) {
    for (const inner of Object.values(node)) yield* pathsIn(inner)
    return
  }
  const end = steps.findIndex((step) => step.type !== 'name')
  const keys = steps
    .slice(0, end === -1 ? steps.length : end)
    .map(({ value }) => `\`${value}\``.replace(/^`([A-Za-z_]\w*)`$/, '$1'))
  if (keys.length > 0) yield keys
  else yield* pathsIn(steps[0])
}
