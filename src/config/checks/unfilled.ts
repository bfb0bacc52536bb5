import { basename } from 'node:path'
import type { Draft } from '../draft.ts'
import type { Finding, Path } from '../finding.ts'

/** Left over from a template. `{{` in addresses is rejected by their schema. */
const TEMPLATE_IN_URL = /%7b%7b|(?<!\{)\{(?:call|event|payload|callId)\b/i
const TEMPLATE = /\{\{[^}]*\b(?:call|event|payload|attached)\b/
const SHELLS: ReadonlySet<string> = new Set(['sh', 'bash', 'dash', 'zsh', 'ksh', 'fish', 'env'])

const URL_ADVICE =
  'has a template in it, which is not filled in here: every event would go to this one address; send the value in body or headers'
const KEY_ADVICE =
  'is a key with {{ in it, and keys are not filled in: write the mapping as one expression, as in "{{ { call.callId: 1 } }}"'
const CONNECTION_ADVICE = 'has {{ in it, which is not filled in here: put values of the event into body or headers'
const PROGRAM_ADVICE =
  'has {{ in it, which is not filled in for programs: the payload is on standard input, and RELAY_EVENT, RELAY_CALL_ID, … are in the environment'
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
  const { type, body, blocks, command, env } = target
  if (type === 'exec') {
    // Other programs have {{ in their arguments as well, such as the formats of docker.
    yield* checkTexts(command, [...path, 'command'], PROGRAM_ADVICE)
    yield* checkTexts(env, [...path, 'env'], PROGRAM_ADVICE)
    yield* checkShellVariables(command, [...path, 'command'])
    return
  }
  for (const key of ['url', 'webhookUrl']) {
    const text = target[key]
    if (typeof text === 'string' && TEMPLATE_IN_URL.test(text)) yield { path: [...path, key], message: URL_ADVICE }
  }
  for (const key of ['proxy', 'socketPath']) {
    const text = target[key]
    if (typeof text === 'string' && text.includes('{{')) yield { path: [...path, key], message: CONNECTION_ADVICE }
  }
  for (const name of Object.keys(mapping(target.headers))) {
    if (TEMPLATE.test(name)) yield { path: [...path, 'headers', name], message: ADVICE, at: 'key' }
  }
  yield* checkTexts(mapping(target.sign).secrets, [...path, 'sign', 'secrets'])
  yield* type === 'slack' ? checkKeys(blocks, [...path, 'blocks']) : checkKeys(body, [...path, 'body'])
}

function* checkShellVariables(command: unknown, path: Path): Iterable<Finding> {
  if (!Array.isArray(command) || SHELLS.has(basename(String(command[0])))) return
  for (const [index, argument] of command.entries()) {
    if (index === 0 || !/^"?\$RELAY_[A-Z_]+"?$/.test(String(argument))) continue
    yield { path: [...path, index], message: SHELL_ADVICE, level: 'warning' }
  }
}

/** Keys of a mapping whose values are templates. */
function* checkKeys(value: unknown, path: Path): Iterable<Finding> {
  if (typeof value !== 'object' || value === null) return
  for (const [key, inner] of Object.entries(value)) {
    const at = [...path, Array.isArray(value) ? Number(key) : key]
    if (key.includes('{{')) yield { path: at, message: KEY_ADVICE, at: 'key' }
    yield* checkKeys(inner, at)
  }
}

function* checkTexts(texts: unknown, path: Path, message = ADVICE): Iterable<Finding> {
  if (typeof texts !== 'object' || texts === null) return
  for (const [key, text] of Object.entries(texts)) {
    const at = [...path, Array.isArray(texts) ? Number(key) : key]
    if (typeof text === 'string' && TEMPLATE.test(text)) yield { path: at, message }
  }
}

function mapping(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {}
}
