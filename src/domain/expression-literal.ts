/** A text as it stands inside a JSONata string literal of either quote. It can end neither the literal nor a `{{ }}`. */
export function inLiteral(text: string): string {
  return text.replace(/[\\'"`{}\p{Cc}\u2028\u2029]/gu, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}
