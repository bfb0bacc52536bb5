import { evaluatedAt } from '../domain/evaluation-error.ts'
import { compileValue } from '../domain/expression.ts'
import { keysWithin, Secret } from '../domain/secret.ts'

/** Gives the value that a template comes to in a context; undefined where that is nothing. */
export type FillBody = (context: unknown) => Promise<unknown>

/**
 * Compiles a mapping, a list or a text: every string in it, however deep, may hold `{{ JSONata }}`, keys may not. A string
 * that is exactly one expression becomes its value, whatever that is; a member whose value is nothing is left out by
 * `JSON.stringify`, in a list it becomes null. Errors name the place in it. Throws `ExpressionError` where a string holds something that is no JSONata.
 */
export function compileBody(node: unknown, place = 'body'): FillBody {
  if (typeof node === 'string') {
    if (!node.includes('{{')) return async () => node
    const fill = compileValue(node)
    return (context) => evaluatedAt(place, fill(context))
  }
  if (Array.isArray(node)) {
    const elements = node.map((element, index) => compileBody(element, `${place}[${index}]`))
    return (context) => Promise.all(elements.map((fill) => fill(context)))
  }
  if (typeof node !== 'object' || node === null) return async () => node
  const members = Object.entries(node).map(([key, value]) => [key, compileBody(value, `${place}.${key}`)] as const)
  return async (context) => {
    const filled = members.map(async ([key, fill]) => [key, await fill(context)] as const)
    return Object.fromEntries(await Promise.all(filled))
  }
}

/** What looks like a key in the texts of a template, in its expressions too. */
export function keysIn(node: unknown): Secret[] {
  if (typeof node === 'string') return keysWithin(node).map((key) => new Secret(key))
  return typeof node === 'object' && node !== null ? Object.values(node).flatMap(keysIn) : []
}
