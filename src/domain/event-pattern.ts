/**
 * A pattern over event names: `*` stands for any run of characters, dots included; all else stands for itself.
 * `call.*` takes `call.ended`; `*` takes everything.
 */
export function compileEventPattern(pattern: string): (event: string) => boolean {
  if (!pattern.includes('*')) return (event) => event === pattern
  const escaped = pattern.split('*').map((part) => part.replace(/[\\^$.|?+()[\]{}]/g, '\\$&'))
  const regexp = new RegExp(`^${escaped.join('[^]*')}$`)
  return (event) => regexp.test(event)
}
