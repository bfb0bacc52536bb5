import { withoutKeys } from '../domain/secret.ts'

/** Longest address shown, in characters. */
const LIMIT = 300

/**
 * Describes an answer's redirect for an error text: `, a redirect to https://host/path, which is not followed`. The address is shown
 * without user, query and what looks like a key, and resolved against `from`, the address that was asked.
 */
export function redirectText(location: string | undefined, from: URL): string {
  if (location === undefined || !URL.canParse(location, from.href)) return ', a redirect, which is not followed'
  const to = new URL(location, from)
  const path = to.pathname.split('/').map(withoutKeys).join('/')
  const address = `${to.protocol}//${to.host}${path}${to.search === '' ? '' : '?…'}`
  return `, a redirect to ${address.slice(0, LIMIT)}, which is not followed`
}
