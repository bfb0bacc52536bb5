import { RelayError } from '../domain/errors.ts'

/** Throws `not_found` for what was named and is not there. */
export function refuseMissing<T extends string | number>(
  what: 'delivery' | 'event' | 'rejection',
  named: readonly T[],
  there: Iterable<T>,
): void {
  const known = new Set(there)
  const missing = named.filter((id) => !known.has(id))
  if (missing.length > 0) throw new RelayError('not_found', `there is no ${what} ${missing.join(', ')}`)
}
