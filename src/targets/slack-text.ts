/**
 * Makes text safe inside Slack's markup: with these three escaped, nothing in it can become a link, a mention or
 * `<!channel>`.
 */
export function escapeSlack(text: string): string {
  return wellFormed(text).replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;')
}

/** Replaces half a surrogate pair, for which Slack rejects the whole payload, with U+FFFD. */
export function wellFormed(text: string): string {
  return text.replace(/\p{Cs}/gu, '\ufffd')
}

/** Text from outside on one line, at most this long, and escaped. */
export function inline(text: string, limit: number): string {
  return escapeSlack(inlineText(text, limit))
}

/** Text from outside on one line, at most this long. */
export function inlineText(text: string, limit: number): string {
  return cutText(text.replace(/[\s\p{Cc}]+/gu, ' ').trim(), limit)
}

/** Cuts to a length in UTF-16 units, `…` included, never within a surrogate pair or one of Slack's entities. */
export function cutText(text: string, limit: number): string {
  if (text.length <= limit) return text
  const kept = text
    .slice(0, limit - 1)
    .replace(/[\ud800-\udbff]$/, '')
    .replace(/&(a|am|amp|l|lt|g|gt)?$/, '')
  return `${kept}…`
}
