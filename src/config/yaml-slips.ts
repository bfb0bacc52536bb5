import { Lexer } from 'yaml'

/** A slip that explains what the parser stumbled over, at its own place: `offset` characters from the start of the file. */
export interface Slip {
  readonly offset: number
  readonly hint: string
  /** A bracket without the one that opens it, which may be a consequence of what comes before. */
  readonly closesNothing?: boolean
}

export interface Token {
  /** As in the file; empty for those that only say what follows. */
  readonly source: string
  readonly offset: number
  /** Whether it is the text of a plain or block scalar, whatever it looks like. */
  readonly isText: boolean
}

/** The lexer's own marks, which are not in the file: start of a document, end of a flow collection by force, a scalar follows. */
const [DOCUMENT, FLOW_END, SCALAR] = ['\x02', '\x18', '\x1f']

/** The tokens of a file. Works for files that are not valid YAML, too. */
export function* tokensOf(text: string): Iterable<Token> {
  let offset = 0
  let isText = false
  for (const lexeme of new Lexer().lex(text)) {
    if (lexeme === SCALAR) isText = true
    else {
      const source = lexeme === DOCUMENT || lexeme === FLOW_END ? '' : lexeme
      yield { source: lexeme === FLOW_END ? FLOW_END : source, offset, isText }
      offset += source.length
      isText = false
    }
  }
}

const CLOSING: Readonly<Record<string, string>> = { '[': ']', '{': '}' }

/**
 * Finds the bracket or quote that is opened and never closed, or the bracket that closes nothing. The parser reports these where
 * it can go no further, which may be many lines below. Only for files that it does not accept.
 */
export function unclosed(text: string): Slip | null {
  const open: Token[] = []
  let comment: Token | undefined
  for (const token of tokensOf(text)) {
    const { source, isText, offset } = token
    if (source === FLOW_END) break
    if (isText) continue
    if (source === '[' || source === '{') {
      open.push(token)
    } else if (source === ']' || source === '}') {
      const last = open.pop()
      if (last === undefined)
        return { offset, hint: `this "${source}" closes nothing; remove it, or quote the text`, closesNothing: true }
      if (CLOSING[last.source] !== source) return openHint(last, undefined)
    } else if (source.startsWith('#') && open.length > 0) {
      comment ??= token
    } else if (/^["']/.test(source) && !/^(?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*')$/s.test(source)) {
      return { offset, hint: 'a quote is opened here and never closed' }
    }
  }
  const last = open.at(-1)
  return last === undefined ? null : openHint(last, isOnLine(text, last, comment) ? comment : undefined)
}

function openHint({ source, offset }: Token, comment: Token | undefined): Slip {
  const more = comment === undefined ? '' : '; what follows " #" on its line is a comment'
  return { offset, hint: `this "${source}" is never closed; write its "${CLOSING[source]}"${more}` }
}

function isOnLine(text: string, { offset }: Token, comment: Token | undefined): boolean {
  return comment !== undefined && !text.slice(offset, comment.offset).includes('\n')
}

/** Slips that can be seen on a line: a pattern, how far into its match the slip is, and what to do. The first that fits counts. */
const ON_LINE: readonly (readonly [pattern: RegExp, hint: string])[] = [
  [
    /[\u00a0\u1680\u2000-\u200d\u202f\u205f\u2060\u3000\ufeff]/d,
    'a special blank is here that YAML takes for a letter; write a plain one',
  ],
  [/[:,[-]\s+(\{\{)/d, 'a template needs quotes, as in "{{ call.callId }}"'],
  [/[[{][^"'#]*?[:,[{]\s*(\$\{)/d, 'put ${...} into quotes here; inside [ ] and { } its braces would be YAML'],
  [/^\s*-([^\s-])/d, 'a blank is missing after "-"'],
  [/^\s*(?:-\s+)*[A-Za-z_][\w-]*:(?!\/\/)(\S)/d, 'a blank is missing after ":"'],
]

/** Finds what is wrong on the line at this offset, which the parser does not accept. */
export function slipOnLine(text: string, offset: number): Slip | null {
  const start = text.lastIndexOf('\n', offset - 1) + 1
  const end = text.indexOf('\n', start)
  const line = text.slice(start, end === -1 ? text.length : end)
  for (const [pattern, hint] of ON_LINE) {
    const match = pattern.exec(line) as (RegExpExecArray & { indices: [number, number][] }) | null
    if (match !== null) return { offset: start + (match.indices[1] ?? match.indices[0])![0], hint }
  }
  return null
}
