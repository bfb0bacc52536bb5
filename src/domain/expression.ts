import type { Expression } from 'jsonata'
import { errorMessage } from './errors.ts'
import { EvaluationError } from './evaluation-error.ts'
import { adaptExpression } from './expression-dialect.ts'
import { jsonata } from './jsonata.ts'

/** What is wrong with an expression, and where: `offset` counts characters from the start of the text. */
export class ExpressionError extends Error {
  readonly offset: number

  constructor(message: string, offset: number) {
    super(message)
    this.name = 'ExpressionError'
    this.offset = offset
  }
}

/**
 * Compiles a JSONata condition over a context (`eventContext`). Its value is cast to true or false as JSONata's `$boolean` does;
 * nothing at all is false. Throws `ExpressionError` if the text is not JSONata. The compiled condition rejects with
 * `EvaluationError` if it fails on a payload.
 */
export function compileCondition(text: string): (context: unknown) => Promise<boolean> {
  compile(text)
  const condition = compile(`$boolean((${text}\n))`)
  return async (context) => (await evaluate(condition, text, context)) === true
}

/** Rejects with `EvaluationError`. */
async function evaluate(expression: Expression, text: string, context: unknown): Promise<unknown> {
  try {
    return await expression.evaluate(context)
  } catch (error) {
    throw new EvaluationError(text, error)
  }
}

/** Text with expressions in it, ready to be filled in. */
export type Template = (payload: unknown) => Promise<string>

/**
 * Compiles a text with `{{ JSONata }}` in it. Missing values become nothing, objects and arrays JSON; what comes out of
 * an expression goes through `escapeValue`, what stands in the text itself does not.
 * Throws `ExpressionError` where a part is no JSONata. The compiled template rejects where a payload makes it fail.
 */
export function compileTemplate(text: string, escapeValue: (value: string) => string = (value) => value): Template {
  const parts = partsOf(text)
  return async (payload) => {
    let filled = ''
    for (const part of parts) {
      filled += typeof part === 'string' ? part : escapeValue(toText(await fillPart(part, payload)))
    }
    return filled
  }
}

/**
 * Compiles a text that is to become a value: one that is exactly one `{{ JSONata }}` becomes what the expression gives
 * (undefined where that is nothing), any other becomes text as with `compileTemplate`. Throws and rejects like that one.
 */
export function compileValue(text: string): (context: unknown) => Promise<unknown> {
  const expression = onlyPartOf(text)
  return expression === undefined ? compileTemplate(text) : async (context) => fillPart(expression, context)
}

/** Whether a text is exactly one `{{ JSONata }}`. Throws as `compileTemplate` does. */
export function isOneExpression(text: string): boolean {
  return onlyPartOf(text) !== undefined
}

function onlyPartOf(text: string): Part | undefined {
  const [before, expression, after, ...more] = partsOf(text)
  const isOne = before === '' && typeof expression === 'object' && after === '' && more.length === 0
  return isOne ? expression : undefined
}

function fillPart({ expression, text }: Part, context: unknown): Promise<unknown> {
  return evaluate(expression, text, context)
}

/** The expressions of a text with `{{ JSONata }}` in it. Throws `ExpressionError` where a part is no JSONata. */
export function expressionsIn(text: string): Expression[] {
  return partsOf(text).flatMap((part) => (typeof part === 'string' ? [] : [part.expression]))
}

interface Part {
  readonly expression: Expression
  /** As it is written. */
  readonly text: string
}

/** The text and the expressions of a template in turn, text first and last. */
function partsOf(text: string): (string | Part)[] {
  const parts: (string | Part)[] = []
  let rest = 0
  for (let open = text.indexOf('{{'); open !== -1; open = text.indexOf('{{', rest)) {
    const { expression, end } = expressionAt(text, open + 2)
    parts.push(text.slice(rest, open), { expression, text: text.slice(open + 2, end - 2).trim() })
    rest = end
  }
  parts.push(text.slice(rest))
  return parts
}

/**
 * The expression of a template that begins at `start`, after `{{`. `end`: after its `}}`. JSONata itself may hold `}}`
 * (`{"a":{"b":1}}`), so it ends at the first one that leaves it valid. Throws `ExpressionError`.
 */
export function expressionAt(text: string, start: number): { expression: Expression; end: number } {
  let problem: ExpressionError | undefined
  for (let close = text.indexOf('}}', start); close !== -1; close = text.indexOf('}}', close + 1)) {
    try {
      return { expression: compile(text.slice(start, close), start), end: close + 2 }
    } catch (error) {
      problem ??= error as ExpressionError
    }
  }
  throw problem ?? new ExpressionError('"{{" has no closing "}}"', start - 2)
}

/** Compiles an expression that starts at this offset of a longer text. Throws `ExpressionError` where it is no JSONata. */
export function compile(text: string, offset = 0): Expression {
  try {
    return adaptExpression(jsonata()(text))
  } catch (error) {
    const position = (error as { position?: number }).position
    throw new ExpressionError(errorMessage(error), offset + Math.max(0, (position ?? 1) - 1))
  }
}

function toText(value: unknown): string {
  if (value === undefined || value === null) return ''
  // Of a function (a regular expression is one to JSONata) `JSON.stringify` makes undefined, not a string.
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
}
