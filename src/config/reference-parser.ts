/**
 * Text with references, as it is written:
 *
 *     text       = { character | "$${" | reference }
 *     reference  = "${" ( NAME [ ":-" text ] | "file:" text | "credential:" text ) "}"
 *
 * `$${` is a literal `${`. The text inside of a reference ends at the "}" that belongs to it: braces in it are counted, so
 * `${A:-${B}}` and `${A:-{{ call.id }}}` mean what they look like.
 */

export type Part = TextPart | Reference

export interface TextPart {
  readonly kind: 'text'
  readonly text: string
}

interface Placed {
  /** Where its "$" is, in characters from the start of the whole text. */
  readonly at: number
  /** As it is written. */
  readonly source: string
}

export type Reference = Placed &
  (
    | { readonly kind: 'variable'; readonly name: string; readonly fallback: readonly Part[] | null }
    | { readonly kind: 'file' | 'credential'; readonly name: readonly Part[] }
    /** Why it is not a reference; follows its source and a colon. */
    | { readonly kind: 'invalid'; readonly problem: string }
  )

/** Bounds the recursion. A chain of alternatives is short. */
const DEEPEST = 16

const FORMS = '${NAME}, ${NAME:-default}, ${file:/path} or ${credential:name}, or $${ for a literal ${'
const UNCLOSED = 'has a "${" without its "}": close it, or write $${ for a literal ${'

/** Never throws: a malformed reference is a part of the kind `invalid`. */
export function parseReferences(written: string): readonly Part[] {
  return new Parser(written).text(0)
}

class Parser {
  readonly #written: string
  #next = 0

  constructor(written: string) {
    this.#written = written
  }

  /** Up to the end, or inside of a reference (`depth` > 0) up to the "}" that ends it, which is left. */
  text(depth: number): Part[] {
    const parts: Part[] = []
    let from = this.#next
    let open = 0
    const take = (text: string) => {
      if (text !== '') parts.push({ kind: 'text', text })
    }
    for (; this.#next < this.#written.length; ) {
      const character = this.#written[this.#next]
      if (this.#startsWith('$${')) {
        take(this.#written.slice(from, this.#next))
        take('${')
        this.#next += 3
        from = this.#next
        open += 1
      } else if (this.#startsWith('${')) {
        take(this.#written.slice(from, this.#next))
        parts.push(this.#reference(depth + 1))
        from = this.#next
      } else if (character === '}' && depth > 0 && open === 0) {
        break
      } else {
        if (character === '{') open += 1
        if (character === '}') open -= 1
        this.#next += 1
      }
    }
    take(this.#written.slice(from, this.#next))
    return parts
  }

  #reference(depth: number): Reference {
    const at = this.#next
    this.#next += 2
    if (depth > DEEPEST) {
      this.#next = this.#written.length
      return { at, source: '${…', kind: 'invalid', problem: `is nested more than ${DEEPEST} deep` }
    }
    const content = this.#content(depth)
    if (this.#next >= this.#written.length) {
      return { at, source: this.#written.slice(at), kind: 'invalid', problem: UNCLOSED }
    }
    this.#next += 1
    return { at, source: this.#written.slice(at, this.#next), ...content }
  }

  /** Everything up to the "}" that ends the reference. */
  #content(depth: number) {
    for (const kind of ['file', 'credential'] as const) {
      if (!this.#startsWith(`${kind}:`)) continue
      this.#next += kind.length + 1
      return { kind, name: this.text(depth) }
    }
    const name = this.#name()
    if (name !== '' && this.#written[this.#next] === '}') return { kind: 'variable' as const, name, fallback: null }
    if (name !== '' && this.#startsWith(':-')) {
      this.#next += 2
      return { kind: 'variable' as const, name, fallback: this.text(depth) }
    }
    const from = this.#next - name.length
    this.text(depth)
    const problem = `is not a reference: write ${FORMS}${hintFor(this.#written.slice(from, this.#next))}`
    return { kind: 'invalid' as const, problem }
  }

  #name(): string {
    const pattern = /[A-Za-z_]\w*/y
    pattern.lastIndex = this.#next
    const name = pattern.exec(this.#written)?.[0] ?? ''
    this.#next += name.length
    return name
  }

  #startsWith(text: string): boolean {
    return this.#written.startsWith(text, this.#next)
  }
}

function hintFor(content: string): string {
  if (/^\s|\s$/.test(content)) return ' (there are blanks beside the name)'
  if (/^\w+:?[-=?+]/.test(content)) return ' (of the forms of a shell, only :- is known)'
  if (/^[a-z]+:/i.test(content)) return ' (the kinds are file: and credential:, and a variable has none)'
  return ''
}

/** Every reference in a text, also those in others. */
export function* referencesIn(parts: readonly Part[]): Iterable<Reference> {
  for (const part of parts) {
    if (part.kind === 'text') continue
    yield part
    if (part.kind === 'variable' && part.fallback !== null) yield* referencesIn(part.fallback)
    if (part.kind === 'file' || part.kind === 'credential') yield* referencesIn(part.name)
  }
}
