/** Any key of an object, or any index of a list. */
export const ANY_KEY = '*'

/**
 * A way into a JSON value: keys and list indexes from the top. One in quotes stands for itself alone; of those without,
 * `*` stands for any, and several in a row also for one key with dots between.
 */
export type FieldPath = readonly (string | QuotedKey)[]

export interface QuotedKey {
  readonly key: string
}

/** A key in double quotes, with JSON's escapes, or in backticks, as JSONata has it; else all up to the next dot. */
const SEGMENT = /"(?:[^"\\]|\\.)*"|`[^`]*`|[^."`]*/y

/** Reads `call.messages.*.text` or `call.metadata."caller id"`. Throws a `SyntaxError` where `fieldPathProblem` has one. */
export function parseFieldPath(text: string): FieldPath {
  const path: (string | QuotedKey)[] = []
  for (let at = 0; at <= text.length; at++) {
    SEGMENT.lastIndex = at
    const segment = SEGMENT.exec(text)![0]
    at += segment.length
    if (at < text.length && text[at] !== '.') throw new SyntaxError(QUOTES)
    path.push(keyOf(segment))
  }
  return path
}

function keyOf(segment: string): string | QuotedKey {
  if (segment.startsWith('`')) return { key: segment.slice(1, -1) }
  if (!segment.startsWith('"')) return segment
  try {
    return { key: JSON.parse(segment) as string }
  } catch {
    throw new SyntaxError('has a key in double quotes that is not valid JSON')
  }
}

const QUOTES = 'has quotes that do not enclose a whole key, as in call.metadata."caller id"'

/** What is wrong with a path as it is written, for an operator. */
export function fieldPathProblem(text: string): string | undefined {
  if (text.startsWith('$')) return 'starts at the payload itself: leave out the "$.", as in call.systemPrompt'
  if (text.startsWith('/')) return 'is made of keys with dots between, as in call.systemPrompt'
  try {
    for (const segment of parseFieldPath(text)) {
      const problem = typeof segment === 'string' ? keyProblem(segment) : undefined
      if (problem !== undefined) return problem
    }
    return undefined
  } catch (error) {
    return (error as SyntaxError).message
  }
}

/** What is wrong with a key without quotes. The key is not quoted: a reference may stand in it. */
function keyProblem(key: string): string | undefined {
  if (key === '') return 'has an empty key in it: write keys with single dots between'
  if (key === ANY_KEY) return undefined
  if (key.includes('*')) return 'has * within a key: * stands for a whole key only, as in call.messages.*.text'
  if (/[[\]]/.test(key)) return 'writes list indexes as keys, as in call.messages.0.text or call.messages.*.text'
  if (/^-\d+$/.test(key)) return 'counts list indexes from 0, and has none from the end'
  if (/[^\p{L}\p{N}_@:/-]/u.test(key))
    return 'has a key with other characters than letters, digits and _@:/-: write it in quotes, as in call.metadata."caller id"'
  return undefined
}
