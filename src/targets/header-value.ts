import { percentEncoded } from './identity-values.ts'

/** Longest value that is sent, in characters. Apache and nginx reject a header line beyond 8 KB, Node a head beyond 16 KB. */
export const HEADER_VALUE_LIMIT = 4096
/** Characters of a text that are read: each that is sent may have been a run of blanks. */
const READ = 16 * HEADER_VALUE_LIMIT

const ASCII = /^[\x20-\x7e]*$/
/** The same without `%`, which marks what is encoded. */
const UNENCODED = /^[\x20-\x24\x26-\x7e]*$/

/**
 * Makes a header's value of a text that a template came to. Line breaks and control characters become one blank, with the blanks
 * around them. Printable ASCII stays as it is. In a text with other characters, these and `%` are percent-encoded as UTF-8.
 * `isCut`: there was more.
 */
export function headerValue(text: string): { readonly value: string; readonly isCut: boolean } {
  const folded = text
    .slice(0, READ)
    .replace(/[ \p{Cc}\u2028\u2029]+/gu, (run) => (ASCII.test(run) ? run : ' '))
    .trim()
  const isPlain = ASCII.test(folded)
  const encoded = (limit: number) => (isPlain ? folded.slice(0, limit) : percentEncoded(folded, UNENCODED, limit))
  const value = encoded(HEADER_VALUE_LIMIT)
  return { value, isCut: text.length > READ || encoded(Number.POSITIVE_INFINITY) !== value }
}
