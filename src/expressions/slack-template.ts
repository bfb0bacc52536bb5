import { compileTemplate } from '../domain/expression.ts'
import { escapeSlack } from '../targets/slack-text.ts'

/** A value, or something with values in it, ready to be filled in from a payload. */
export type Filling = (payload: unknown) => Promise<unknown>

/** Where Slack takes text as it is: escaping would break a URL with a `&` in it. */
const LITERAL_PROPERTIES = ['url', 'image_url', 'thumb_url', 'video_url', 'title_url', 'value', 'block_id', 'action_id']

/** Compiles a message text. Throws `ExpressionError` where it holds something that is no JSONata. */
export function compileText(text: string): (payload: unknown) => Promise<string> {
  return compileTemplate(text, escapeSlack)
}

/** Compiles blocks: every string in them, however deep, is a template. Throws as `compileText` does. */
export function compileBlocks(blocks: readonly unknown[]): (payload: unknown) => Promise<unknown[]> {
  const elements = blocks.map((block) => compileNode(block, ''))
  return (payload) => Promise.all(elements.map((fill) => fill(payload)))
}

function compileNode(node: unknown, property: string): Filling {
  if (typeof node === 'string') {
    if (!node.includes('{{')) return async () => node
    return LITERAL_PROPERTIES.includes(property) ? compileTemplate(node) : compileText(node)
  }
  if (Array.isArray(node)) {
    const elements = node.map((element) => compileNode(element, property))
    return (payload) => Promise.all(elements.map((fill) => fill(payload)))
  }
  if (typeof node !== 'object' || node === null) return async () => node
  const properties = Object.entries(node).map(([name, value]) => [name, compileNode(value, name)] as const)
  return async (payload) => {
    const filled = properties.map(async ([name, fill]) => [name, await fill(payload)] as const)
    return Object.fromEntries(await Promise.all(filled))
  }
}
