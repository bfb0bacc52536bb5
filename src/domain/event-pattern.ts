/** What the names of the relay's own events begin with. */
const OWN = 'relay.'

/**
 * A pattern over event names: `*` stands for any run of characters, dots included; all else stands for itself.
 * `call.*` takes `call.ended`; `*` takes every event of the sources. The relay's own events are taken only by patterns that
 * begin like them, such as `relay.*`: who asked for everything about calls has not asked for the relay's troubles.
 */
export function compileEventPattern(pattern: string): (event: string) => boolean {
  if (!pattern.includes('*')) return (event) => event === pattern
  const escaped = pattern.split('*').map((part) => part.replace(/[\\^$.|?+()[\]{}]/g, '\\$&'))
  const regexp = new RegExp(`^${escaped.join('[^]*')}$`)
  const takesOwn = pattern.startsWith(OWN)
  return (event) => (takesOwn || !event.startsWith(OWN)) && regexp.test(event)
}
