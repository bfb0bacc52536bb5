import { RelayError } from '../domain/errors.ts'
import { note } from './printing.ts'

/**
 * Tells of what cannot be sent again, because the bodies have been pruned or erased. Throws `not_found` where it was asked for by
 * name.
 */
export function tellOfBodiless(count: number, byName: boolean): void {
  if (count === 0) return
  const what = `${count} of them cannot be sent again: the body is gone (pruned or erased)`
  if (byName) throw new RelayError('not_found', what)
  note(`${what}, and left out`)
}
