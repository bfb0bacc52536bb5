/**
 * Whether two URLs lead to the same place, however a service has normalised them: case of scheme and host, a default
 * port, a dot at the end of the host, slashes at the end of the path, escapes that need not be, an empty query, a fragment.
 */
export function sameUrl(a: string, b: string): boolean {
  return a === b || canonicalUrl(a) === canonicalUrl(b)
}

/** The one form of all URLs that are the same; text that is not a URL stays as it is. */
export function canonicalUrl(text: string): string {
  if (!URL.canParse(text)) return text
  const url = new URL(text)
  const host = url.hostname.replace(/\.$/, '')
  const port = url.port === '' ? '' : `:${url.port}`
  const user = url.username === '' && url.password === '' ? '' : `${url.username}:${url.password}@`
  const path = escapes(url.pathname).replace(/\/+$/, '')
  const query = url.search.length > 1 ? escapes(url.search) : ''
  return `${url.protocol}//${user}${host}${port}${path}${query}`
}

/** Escapes in capitals, and none of characters that may stand for themselves (RFC 3986, 6.2.2). */
function escapes(text: string): string {
  return text.replace(/%[0-9a-f]{2}/gi, (escaped) => {
    const character = String.fromCharCode(Number.parseInt(escaped.slice(1), 16))
    return /[A-Za-z0-9\-._~]/.test(character) ? character : escaped.toUpperCase()
  })
}

/** Whether two URLs that are the same differ in the slash at the end of the path, which decides whether a listener answers. */
export function differInSlash(a: string, b: string): boolean {
  return URL.canParse(a) && URL.canParse(b) && endsInSlash(new URL(a)) !== endsInSlash(new URL(b))
}

function endsInSlash({ pathname }: URL): boolean {
  return pathname.endsWith('/')
}
