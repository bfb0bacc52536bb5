import type { Expression } from 'jsonata'
import { errorMessage } from './errors.ts'
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
 * Compiles a JSONata condition. Its value is cast to true or false as JSONata's `$boolean` does; nothing at all is false.
 * Throws `ExpressionError` where the text is no JSONata. The compiled condition rejects where a payload makes it fail.
 */
export function compileCondition(text: string): (payload: unknown) => Promise<boolean> {
  compile(text)
  const condition = jsonata()(`$boolean((${text}\n))`)
  return async (payload) => (await condition.evaluate(payload)) === true
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
      filled += typeof part === 'string' ? part : escapeValue(toText(await part.evaluate(payload)))
    }
    return filled
  }
}

/**
 * Compiles a text that is to become a value: one that is exactly one `{{ JSONata }}` becomes what the expression gives
 * (undefined where that is nothing), any other becomes text as with `compileTemplate`. Throws and rejects like that one.
 */
export function compileValue(text: string): (context: unknown) => Promise<unknown> {
  const [before, expression, after, ...more] = partsOf(text)
  const isOne = before === '' && typeof expression === 'object' && after === '' && more.length === 0
  return isOne ? async (context) => expression.evaluate(context) : compileTemplate(text)
}

/** The expressions of a text with `{{ JSONata }}` in it. Throws `ExpressionError` where a part is no JSONata. */
export function expressionsIn(text: string): Expression[] {
  return partsOf(text).filter((part) => typeof part !== 'string')
}

/** The text and the expressions of a template in turn, text first and last. */
function partsOf(text: string): (string | Expression)[] {
  const parts: (string | Expression)[] = []
  let rest = 0
  for (let open = text.indexOf('{{'); open !== -1; open = text.indexOf('{{', rest)) {
    const { expression, end } = expressionAt(text, open + 2)
    parts.push(text.slice(rest, open), expression)
    rest = end
  }
  parts.push(text.slice(rest))
  return parts
}

/**
 * What made an expression fail on a payload. JSONata puts the value it stumbled over into its message; a value from a
 * call (a phone number, say) belongs neither into a log nor into an error, so it is taken out. Never throws.
 */
export function evaluationProblem(error: unknown): string {
  const { value, value2 } = error as { value?: unknown; value2?: unknown }
  let message = errorMessage(error)
  for (const shown of [value, value2]) {
    const text = jsonOf(shown)
    if (text === null) return 'it fails on a value that cannot be shown'
    if (text !== undefined) message = message.replaceAll(text, '…')
  }
  return message
}

/** Null where there is none: of what is nested too deeply, or holds itself, as JSONata's functions do. */
function jsonOf(value: unknown): string | undefined | null {
  try {
    return JSON.stringify(value)
  } catch {
    return null
  }
}

/** JSONata itself may hold `}}` (`{"a":{"b":1}}`), so the expression ends at the first one that leaves it valid. */
function expressionAt(text: string, start: number): { expression: Expression; end: number } {
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
    return jsonata()(text)
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
