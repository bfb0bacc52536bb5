/** What the names of the relay's own events begin with. */
const OWN = 'relay.'

/**
 * Matches an event by its name. `isOwn`: whether the relay itself made the event; where only names are compared, it is what
 * the name says.
 */
export type EventPattern = (event: string, isOwn?: boolean) => boolean

/**
 * A pattern over event names: `*` stands for any run of characters, dots included; all else stands for itself.
 * `call.*` matches `call.ended`; `*` matches every event of the sources. Patterns that begin with `relay.` match only events
 * that the relay has made, whatever an event from outside is called; no other pattern matches these.
 */
export function compileEventPattern(pattern: string): EventPattern {
  const asksForOwn = pattern.startsWith(OWN)
  const parts = pattern.split('*')
  return (event, isOwn = event.startsWith(OWN)) => isOwn === asksForOwn && isMadeOf(parts, event)
}

/**
 * Whether a text begins with the first part, ends with the last, and has the others between in their order. The first place
 * that fits is as good as any, so nothing is tried twice; a regular expression would, for seconds on a name of some thousand
 * characters.
 */
function isMadeOf(parts: readonly string[], text: string): boolean {
  const [first, last] = [parts[0]!, parts.at(-1)!]
  if (parts.length === 1) return text === first
  if (!text.startsWith(first)) return false
  let at = first.length
  for (const part of parts.slice(1, -1)) {
    const found = text.indexOf(part, at)
    if (found === -1) return false
    at = found + part.length
  }
  return text.length - last.length >= at && text.endsWith(last)
}
