/** A URL for people: what may be a key, its user and its query, is left out. */
export function shownUrl(url: string): string {
  const hasQuery = URL.canParse(url) && new URL(url).search !== ''
  return `${plainUrl(url)}${hasQuery ? '?…' : ''}`
}

/** A URL without user, query and fragment; for events, where it is data. */
export function plainUrl(url: string): string {
  if (!URL.canParse(url)) return '(no URL)'
  const { protocol, host, pathname } = new URL(url)
  return `${protocol}//${host}${pathname}`
}

/** A text that may quote URLs or paths, such as an HTTP client's error, without their users and queries. */
export function withoutQueries(text: string): string {
  return text.replace(/\/\/[^\s/?#@]+@/g, '//').replace(/\?[^\s'"<>()[\]{}]+/g, '?…')
}
