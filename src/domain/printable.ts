/**
 * Characters that a terminal acts on or that hide what a text says: controls (C0, DEL, C1), marks that turn the direction of
 * text or cannot be seen, line separators, halves of surrogate pairs. Not among them: tab and line feed, and the joiners
 * that scripts and emoji need.
 */
const UNPRINTABLE = /(?![\t\n\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu

/** The same but for a line feed: these stand in a JSON text only within strings. */
const UNPRINTABLE_IN_JSON = /(?![\t\n\r])[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu

/** Most lines of a log are: to see that takes a tenth of the time. */
const IS_PLAIN = /^[\t\n\r\x20-\x7e]*$/

/** Text with what must not reach a terminal written as `\u001b`; a carriage return before a line feed stays. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (character, at: number) =>
    character === '\r' && text[at + 1] === '\n' ? character : escaped(character),
  )
}

/** JSON text that means the same, with every character written as `\u009b` that `printable` would not let through. */
export function printableJson(json: string): string {
  if (IS_PLAIN.test(json)) return json
  return json.replace(UNPRINTABLE_IN_JSON, escaped)
}

function escaped(character: string): string {
  return [...Array(character.length).keys()]
    .map((unit) => `\\u${character.charCodeAt(unit).toString(16).padStart(4, '0')}`)
    .join('')
}
