import { errorMessage } from './errors.ts'

/** Longest expression that an error quotes, in characters. */
const EXPRESSION_LIMIT = 120

/** What JSONata throws. `value` comes from the payload. */
interface Failure {
  readonly code?: string
  readonly token?: string
  /** Of the argument, from 1. */
  readonly index?: number
  readonly value?: unknown
  readonly value2?: unknown
}

/**
 * An expression that failed on a payload. The message names the place, the expression, the kind of value that it stumbled over and a
 * form that works. A value from a call (a phone number, say) belongs neither into a log nor into an error: texts, lists and objects
 * are described by their size.
 */
export class EvaluationError extends Error {
  readonly #expression: string
  readonly #failure: unknown

  /** `place`: where the expression is configured, such as `body.customer.name`; empty for the only one. */
  constructor(expression: string, failure: unknown, place = '') {
    super(messageOf(expression, failure, place))
    this.name = 'EvaluationError'
    this.#expression = expression
    this.#failure = failure
  }

  /** The message without the expression. */
  get problem(): string {
    return problemOf(this.#failure as Failure)
  }

  at(place: string): EvaluationError {
    return new EvaluationError(this.#expression, this.#failure, place)
  }
}

/** Runs an evaluation; an `EvaluationError` of it is said to be at this place. */
export async function evaluatedAt<T>(place: string, evaluation: Promise<T>): Promise<T> {
  try {
    return await evaluation
  } catch (error) {
    throw error instanceof EvaluationError ? error.at(place) : error
  }
}

function messageOf(expression: string, failure: unknown, place: string): string {
  const shown =
    expression.length <= EXPRESSION_LIMIT ? expression : `${expression.slice(0, EXPRESSION_LIMIT - 1).trimEnd()}…`
  const where = place === '' ? '' : `${place}: `
  return `${where}"${shown.replace(/\s+/g, ' ')}" fails: ${problemOf(failure as Failure)}`
}

function problemOf(failure: Failure): string {
  const { code, token, index, value, value2 } = failure
  switch (code) {
    case 'T0410':
    case 'T0411':
    case 'T0412':
      return `argument ${index} of $${token} is ${kindOf(value)}; ${adviceFor(token!, value)}`
    case 'T1005':
      return `JSONata has no method .${token}(); write $${token}(…) with the value as its first argument`
    case 'T1006':
      return `$${token} is not a function`
    case 'T2001':
    case 'T2002':
      return `one side of ${token} is ${kindOf(value)}, not a number; ${numberAdvice(value)}`
    case 'T2009':
      return `${token} compares ${kindOf(value)} with ${kindOf(value2)}; convert one with $number(…) or $string(…)`
    case 'T2010':
      return `one side of ${token} is ${kindOf(value)}; write $exists(x) and x ${token} y, or (x ?: 0) ${token} y`
    case 'D3030':
      return `${kindOf(value)} cannot be converted to a number; ${numberAdvice(value)}`
    default:
      return withoutValues(failure)
  }
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (value === undefined) return 'missing'
  if (Array.isArray(value)) return `a list of ${value.length}`
  switch (typeof value) {
    case 'string':
      return value === '' ? 'an empty text' : `a text of ${value.length} characters`
    case 'number':
    case 'boolean':
      return `the ${typeof value} ${value}`
    case 'function':
      return 'a function'
    default:
      return `an object with ${Object.keys(value as object).length} fields`
  }
}

function adviceFor(token: string, value: unknown): string {
  if (value === null || value === undefined) return `give it a default, as in $${token}(x ?: '')`
  if (Array.isArray(value)) return `choose one with x[0], or join them with $join(x, ', ')`
  if (typeof value === 'object') return 'choose one of its fields, as in x.name, or write $string(x)'
  if (typeof value === 'string') return `convert it, as in $${token}($number(x))`
  return `convert it, as in $${token}($string(x))`
}

function numberAdvice(value: unknown): string {
  if (value === null || value === undefined) return 'give it a default, as in (x ?: 0)'
  if (Array.isArray(value)) return 'choose one with x[0], or add them up with $sum(x)'
  return 'JSONata joins texts with &, and converts them with $number(…)'
}

/** JSONata's own message. It quotes the value that it stumbled over, which is taken out. Never throws. */
function withoutValues(failure: Failure): string {
  let message = errorMessage(failure)
  for (const shown of [failure?.value, failure?.value2]) {
    const text = jsonOf(shown)
    if (text === null) return 'it fails on a value that cannot be shown'
    if (text !== undefined) message = message.replaceAll(text, '…')
  }
  return message
}

/** Null where a value has no JSON: what is nested too deeply, or holds itself, as JSONata's functions do. */
function jsonOf(value: unknown): string | undefined | null {
  try {
    return JSON.stringify(value)
  } catch {
    return null
  }
}
