/** A way into a JSON value: keys and list indexes from the top, `*` for any of them. */
export type FieldPath = readonly string[]

/** Reads `call.messages.*.text`. A key with a dot in it can only be meant by `*`. */
export function parseFieldPath(text: string): FieldPath {
  return text.split('.')
}

/** What is wrong with a path as it is written, for an operator. */
export function fieldPathProblem(text: string): string | undefined {
  if (/\s/.test(text)) return 'must not have blanks in it'
  if (text.startsWith('$')) return 'starts at the payload itself: leave out the "$.", as in call.systemPrompt'
  if (/[[\]"']/.test(text)) return 'is made of keys and dots alone, as in call.messages.0.text or call.messages.*.text'
  return parseFieldPath(text).includes('') ? 'has an empty key in it: write keys with single dots between' : undefined
}
