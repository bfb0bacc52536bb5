import { cutText } from './slack-text.ts'

/** A message as it is posted to an incoming webhook. */
export interface SlackMessage {
  /** The whole message, or with blocks what notifications show. */
  readonly text: string
  readonly blocks?: readonly unknown[]
}

/** Slack cuts longer texts itself, with a warning that nobody would see. */
const MESSAGE_TEXT = 40_000
const MESSAGE_BLOCKS = 50

/** The longest text in any text object that has no stricter limit below. */
const TEXT_OBJECT = 3_000

/**
 * Block Kit's limits, from https://docs.slack.dev/reference/block-kit, by the kind of the object that holds the text and
 * the property it is in. An object without a `type` goes by the property that it is in itself (`confirm`, `options`).
 */
const TEXT_LIMITS: Readonly<Record<string, number>> = {
  'header.text': 150,
  'section.text': 3_000,
  'section.fields': 2_000,
  'markdown.text': 12_000,
  'image.title': 2_000,
  'image.alt_text': 2_000,
  'video.title': 200,
  'video.description': 200,
  'video.author_name': 50,
  'button.text': 75,
  'button.accessibility_label': 75,
  'confirm.title': 100,
  'confirm.text': 300,
  'confirm.confirm': 30,
  'confirm.deny': 30,
  // Without a limit of their own, but Slack rejects empty ones.
  'text.text': Number.POSITIVE_INFINITY,
  'raw_text.text': Number.POSITIVE_INFINITY,
  'options.text': 75,
  'options.description': 75,
  'option_groups.label': 75,
}
const LIST_LIMITS: Readonly<Record<string, number>> = {
  'section.fields': 10,
  'context.elements': 10,
  'actions.elements': 25,
  'overflow.options': 5,
  'checkboxes.options': 10,
  'radio_buttons.options': 10,
  'static_select.options': 100,
  'multi_static_select.options': 100,
}

/**
 * Cuts a message to what Slack takes. One text that is a character too long would have the whole message refused, and
 * for good. URLs and identifiers stay as they are: cut, they would be wrong rather than short.
 */
export function cutToSlackLimits({ text, blocks }: SlackMessage): SlackMessage {
  const message = { text: fittingText(text, MESSAGE_TEXT) }
  if (blocks === undefined) return message
  return { ...message, blocks: blocks.slice(0, MESSAGE_BLOCKS).map((block) => cutNode(block, 'blocks', TEXT_OBJECT)) }
}

/** `property` is where the node stands, `limit` how long a text may be there. */
function cutNode(node: unknown, property: string, limit: number): unknown {
  if (typeof node !== 'object' || node === null) return node
  if (Array.isArray(node)) return node.map((element) => cutNode(element, property, limit))
  const { type, text } = node as { type?: unknown; text?: unknown }
  if ((type === 'mrkdwn' || type === 'plain_text') && typeof text === 'string') {
    return { ...node, text: fittingText(text, limit) }
  }
  const kind = typeof type === 'string' ? type : property
  return Object.fromEntries(Object.entries(node).map(([name, value]) => [name, cutProperty(kind, name, value)]))
}

function cutProperty(kind: string, name: string, value: unknown): unknown {
  const place = `${kind}.${name}`
  const limit = TEXT_LIMITS[place]
  if (typeof value === 'string') return limit === undefined ? value : fittingText(value, limit)
  const elements = Array.isArray(value) ? value.slice(0, LIST_LIMITS[place]) : value
  return cutNode(elements, name, limit ?? TEXT_OBJECT)
}

/** Slack refuses empty texts too, and a template whose value is missing gives one. */
function fittingText(text: string, limit: number): string {
  return text === '' ? '–' : cutText(text, limit)
}
