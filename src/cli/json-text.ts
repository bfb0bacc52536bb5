import { isDeeperThan } from '../domain/json-bytes.ts'

const TOKEN = /"(?:\\.|[^"\\])*"|[{}[\],:]|[^\s{}[\],:"]+/g

/** Levels that are still read by anybody; to indent thousands takes more memory than there is. */
const MOST_LEVELS = 200

/**
 * JSON with a line a value and two spaces a level; null where the text is no JSON, or nested
 * more than 200 levels deep. Only the white space is changed, for
 * parsing and writing it anew would round large numbers and drop keys that are there twice.
 */
export function indentedJson(text: string): string | null {
  if (isDeeperThan(MOST_LEVELS, Buffer.from(text)) || !isJson(text)) return null
  const tokens = text.match(TOKEN) ?? []
  let depth = 0
  let result = ''
  const newLine = () => `\n${'  '.repeat(depth)}`
  for (const [index, token] of tokens.entries()) {
    const isEmpty = '{['.includes(tokens[index - 1] ?? ' ')
    if (token === '}' || token === ']') {
      depth -= 1
      result += isEmpty ? token : `${newLine()}${token}`
      continue
    }
    if (isEmpty) result += newLine()
    result += token
    if (token === '{' || token === '[') depth += 1
    if (token === ',') result += newLine()
    if (token === ':') result += ' '
  }
  return result
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
