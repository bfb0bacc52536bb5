import { Lexer, Parser } from 'yaml'

/** How many levels a file may be nested. */
export const MOST_LEVELS = 100

/**
 * Where a file is nested too deeply, in characters from its start; null where it is not. To be asked before anything else:
 * the parser calls itself for each level, and where the stack ends while V8 compiles a regular expression, it does not
 * throw but ends the process, which may be a relay that was told to read its configuration again.
 */
export function tooDeepAt(text: string): number | null {
  const parser = new Parser()
  for (const lexeme of new Lexer().lex(text)) {
    // The documents themselves are made later.
    for (const _ of parser.next(lexeme));
    if (parser.stack.length > MOST_LEVELS) return parser.offset
  }
  return null
}
