import { basename } from 'node:path'
import type { Draft } from '../draft.ts'
import type { Finding, Path } from '../finding.ts'

/** Left over from a template. `{{` in addresses is rejected by their schema. */
const TEMPLATE_IN_URL = /%7b%7b|(?<!\{)\{(?:call|event|payload|callId)\b/i
const TEMPLATE = /\{\{[^}]*\b(?:call|event|payload|attached)\b/
const SHELLS: ReadonlySet<string> = new Set(['sh', 'bash', 'dash', 'zsh', 'ksh', 'fish', 'env'])

const URL_ADVICE =
  'has a template in it, which is not filled in here: every event would go to this one address; send the value in body or headers'
const ADVICE = 'has a template in it, which is not filled in here: write the value itself'
const SHELL_ADVICE =
  'is passed on as it stands, as no shell is used: read the variable in the program, or write command: [sh, -c, \'./hook.sh "$RELAY_CALL_ID"\']'

/** Templates and variables where nothing fills them in, which would be sent as they stand. Judged as written. */
export function* checkUnfilled({ surroundings }: Draft): Iterable<Finding> {
  const { written } = surroundings
  const { targets, tracing } = mapping(written([]))
  for (const [name, value] of Object.entries(mapping(targets))) yield* checkTarget(mapping(value), ['targets', name])
  yield* checkTexts(mapping(tracing).headers, ['tracing', 'headers'])
}

function* checkTarget(target: Record<string, unknown>, path: Path): Iterable<Finding> {
  for (const key of ['url', 'webhookUrl']) {
    const text = target[key]
    if (typeof text === 'string' && TEMPLATE_IN_URL.test(text)) yield { path: [...path, key], message: URL_ADVICE }
  }
  for (const name of Object.keys(mapping(target.headers))) {
    if (TEMPLATE.test(name)) yield { path: [...path, 'headers', name], message: ADVICE, at: 'key' }
  }
  yield* checkTexts(mapping(target.sign).secrets, [...path, 'sign', 'secrets'])
  const { command } = target
  if (!Array.isArray(command) || SHELLS.has(basename(String(command[0])))) return
  for (const [index, argument] of command.entries()) {
    if (index === 0 || !/^"?\$RELAY_[A-Z_]+"?$/.test(String(argument))) continue
    yield { path: [...path, 'command', index], message: SHELL_ADVICE, level: 'warning' }
  }
}

function* checkTexts(texts: unknown, path: Path): Iterable<Finding> {
  if (typeof texts !== 'object' || texts === null) return
  for (const [key, text] of Object.entries(texts)) {
    const at = [...path, Array.isArray(texts) ? Number(key) : key]
    if (typeof text === 'string' && TEMPLATE.test(text)) yield { path: at, message: ADVICE }
  }
}

function mapping(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {}
}
