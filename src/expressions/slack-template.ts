import { evaluatedAt } from '../domain/evaluation-error.ts'
import { compileTemplate } from '../domain/expression.ts'
import { escapeSlack, wellFormed } from '../targets/slack-text.ts'

/** A value, or something with values in it, ready to be filled in from a payload. */
export type Filling = (payload: unknown) => Promise<unknown>

/**
 * The objects whose `text` Slack reads as markup. Everything else in blocks is shown or used as it is: `plain_text`,
 * `raw_text`, the elements of `rich_text`, `alt_text`, names, URLs and ids.
 */
const MARKUP_TYPES: readonly unknown[] = ['mrkdwn', 'markdown']

/** Compiles a message text. Throws `ExpressionError` where it holds something that is no JSONata. */
export function compileText(text: string): (payload: unknown) => Promise<string> {
  return compileTemplate(text, escapeSlack)
}

/** Compiles blocks: every string in them, however deep, is a template. Throws as `compileText` does. */
export function compileBlocks(blocks: readonly unknown[]): (payload: unknown) => Promise<unknown[]> {
  const elements = blocks.map((block, index) => compileNode(block, false, `blocks[${index}]`))
  return (payload) => Promise.all(elements.map((fill) => fill(payload)))
}

/** `isMarkup`: whether a string is read as markup there. `place`: where it is configured. */
function compileNode(node: unknown, isMarkup: boolean, place: string): Filling {
  if (typeof node === 'string') {
    if (!node.includes('{{')) return async () => node
    const fill = isMarkup ? compileText(node) : compileTemplate(node, wellFormed)
    return (context) => evaluatedAt(place, fill(context))
  }
  if (Array.isArray(node)) {
    const elements = node.map((element, index) => compileNode(element, false, `${place}[${index}]`))
    return (payload) => Promise.all(elements.map((fill) => fill(payload)))
  }
  if (typeof node !== 'object' || node === null) return async () => node
  const isText = hasMarkup(node)
  const properties = Object.entries(node).map(
    ([name, value]) => [name, compileNode(value, isText && name === 'text', `${place}.${name}`)] as const,
  )
  return async (payload) => {
    const filled = properties.map(async ([name, fill]) => [name, await fill(payload)] as const)
    return Object.fromEntries(await Promise.all(filled))
  }
}

/** A type that is a template may come to `mrkdwn`. */
function hasMarkup({ type }: { type?: unknown }): boolean {
  return MARKUP_TYPES.includes(type) || (typeof type === 'string' && type.includes('{{'))
}
