/** What the names of the relay's own events begin with. */
const OWN = 'relay.'

/**
 * A pattern over event names: `*` stands for any run of characters, dots included; all else stands for itself.
 * `call.*` takes `call.ended`; `*` takes every event of the sources. The relay's own events are taken only by patterns that
 * begin like them, such as `relay.*`: who asked for everything about calls has not asked for the relay's troubles.
 */
export function compileEventPattern(pattern: string): (event: string) => boolean {
  if (!pattern.includes('*')) return (event) => event === pattern
  const parts = pattern.split('*')
  const takesOwn = pattern.startsWith(OWN)
  return (event) => (takesOwn || !event.startsWith(OWN)) && isMadeOf(parts, event)
}

/**
 * Whether a text begins with the first part, ends with the last, and has the others between in their order. The first place
 * that fits is as good as any, so nothing is tried twice; a regular expression would, for seconds on a name of some thousand
 * characters.
 */
function isMadeOf(parts: readonly string[], text: string): boolean {
  const [first, last] = [parts[0]!, parts.at(-1)!]
  if (!text.startsWith(first)) return false
  let at = first.length
  for (const part of parts.slice(1, -1)) {
    const found = text.indexOf(part, at)
    if (found === -1) return false
    at = found + part.length
  }
  return text.length - last.length >= at && text.endsWith(last)
}
