/** A URL for people: what may be a key, its user and its query, is left out. */
export function shownUrl(url: string): string {
  if (!URL.canParse(url)) return '(no URL)'
  const { protocol, host, pathname, search } = new URL(url)
  return `${protocol}//${host}${pathname}${search === '' ? '' : '?…'}`
}
