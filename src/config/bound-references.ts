import { inLiteral } from '../domain/expression-literal.ts'

/** What an expression can be in: `template` is text with `{{ JSONata }}`, `expression` JSONata only, `text` neither. */
export type Syntax = 'text' | 'template' | 'expression'

/** A part of a text whose references have been resolved. */
export type Piece =
  | { readonly kind: 'written'; readonly text: string }
  | { readonly kind: 'value'; readonly text: string }
  /** What is used in place of a variable that is not set. Outside of expressions it may be a template itself. */
  | { readonly kind: 'fallback'; readonly pieces: readonly Piece[] }

/** The text of pieces as it is, whatever it means. */
export function joined(pieces: readonly Piece[]): string {
  return pieces.map((piece) => (piece.kind === 'fallback' ? joined(piece.pieces) : piece.text)).join('')
}

/**
 * Puts pieces together so that a value is never code: in an expression it becomes a string literal, or a part of the
 * literal it stands in; outside of one it stays as it is, and `{{` in it is not a template. Returns a problem where the
 * syntax of an expression has no place for a value.
 */
export function bound(
  pieces: readonly Piece[],
  syntax: Syntax,
): { readonly text: string } | { readonly problem: string } {
  if (syntax === 'text') return { text: joined(pieces) }
  const scanner = new Scanner(syntax)
  scanner.take(pieces)
  return scanner.problem === undefined ? { text: scanner.text } : { problem: scanner.problem }
}

type State = 'outside' | 'code' | "'" | '"' | '`' | 'comment' | 'regex'

/** Follows JSONata's tokens as far as it takes to know what a reference stands in. */
class Scanner {
  text = ''
  problem: string | undefined
  readonly #syntax: Syntax
  #state: State
  /** Braces that are open in the expression. */
  #depth = 0
  /** Whether an operand precedes, so that `/` divides. */
  #isOperandBefore = false
  #isEscaped = false
  #isPatternEmpty = false

  constructor(syntax: Syntax) {
    this.#syntax = syntax
    this.#state = syntax === 'template' ? 'outside' : 'code'
  }

  take(pieces: readonly Piece[]): void {
    for (const piece of pieces) {
      if (piece.kind === 'written') for (const character of piece.text) this.#read(character)
      else if (piece.kind === 'value') this.#insert(piece.text)
      else if (this.#state === 'outside') this.take(piece.pieces)
      else this.#insert(joined(piece.pieces))
    }
  }

  #insert(value: string): void {
    switch (this.#state) {
      case 'outside': {
        if (!value.includes('{')) {
          this.text += value
          return
        }
        // A brace before it would open a template together with the one that opens this.
        const braces = /\{*$/.exec(this.text)![0]
        this.text = `${this.text.slice(0, this.text.length - braces.length)}{{ "${inLiteral(braces + value)}" }}`
        return
      }
      case 'code':
        this.text += `"${inLiteral(value)}"`
        this.#isOperandBefore = true
        return
      case "'":
      case '"':
        this.text += inLiteral(value)
        this.#isEscaped = false
        return
      case 'comment':
        return
      case '`':
        this.problem ??= 'cannot stand in a name between backquotes: write $lookup(call.metadata, ${NAME})'
        return
      case 'regex':
        this.problem ??=
          'cannot stand in a regular expression: compare with a text, as in $contains(call.summary, ${NAME})'
    }
  }

  #read(character: string): void {
    const before = this.text.at(-1)
    this.text += character
    const wasEmpty = this.#isPatternEmpty
    this.#isPatternEmpty = false
    switch (this.#state) {
      case 'outside':
        if (character === '{' && before === '{') this.#enter()
        return
      case 'code':
        this.#readCode(character, before)
        return
      case 'comment':
        if (character === '/' && before === '*') this.#state = 'code'
        return
      case '`':
        if (character === '`') this.#leave()
        return
      default:
        // What looked like the start of a pattern may be that of a comment.
        if (this.#state === 'regex' && character === '*' && wasEmpty) this.#state = 'comment'
        else if (this.#isEscaped) this.#isEscaped = false
        else if (character === '\\') this.#isEscaped = true
        else if (character === (this.#state === 'regex' ? '/' : this.#state)) this.#leave()
    }
  }

  #enter(): void {
    this.#state = 'code'
    this.#depth = 0
    this.#isOperandBefore = false
  }

  /** Ends a literal, a name or a pattern. */
  #leave(): void {
    this.#state = 'code'
    this.#isOperandBefore = true
  }

  #readCode(character: string, before: string | undefined): void {
    if (/\s/.test(character)) return
    if (character === "'" || character === '"' || character === '`') {
      this.#state = character
      return
    }
    if (character === '*' && before === '/') {
      this.#state = 'comment'
      return
    }
    if (character === '/' && !this.#isOperandBefore) {
      this.#state = 'regex'
      this.#isPatternEmpty = true
      return
    }
    if (character === '{') this.#depth += 1
    if (character === '}') {
      if (this.#depth === 0 && before === '}' && this.#syntax === 'template') {
        this.#state = 'outside'
        return
      }
      if (this.#depth > 0) {
        this.#depth -= 1
        // The next two close the expression.
        this.#isOperandBefore = true
        return
      }
    }
    this.#isOperandBefore = /[\w$)\]}\u0080-\uffff]/.test(character) && !this.#endsInOperator()
  }

  /** `and`, `or` and `in` are operators where an operand can follow. */
  #endsInOperator(): boolean {
    return /(?:^|[\s)\]}"'`])(?:and|or|in)$/.test(this.text.slice(-8))
  }
}
