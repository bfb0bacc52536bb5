/** Something in a list of the API: where it stands, when it was created, and its JSON text. */
export interface Entry {
  /** Rises with each one created. */
  readonly sequence: number
  readonly created: string
  readonly text: string
  /** Whose call it is, or was. */
  readonly agentId?: string
}

export interface PageOptions {
  readonly pageSize: number
  /** The provider does not document its order, so a test may have either. */
  readonly order: 'oldest first' | 'newest first'
}

/**
 * A page as the API gives it: those created in the asked time, behind the cursor. The cursor is the last one's place and
 * not a count, so a page follows on the one before it, whatever has been created or deleted meanwhile.
 */
export function pageOf(
  entries: readonly Entry[],
  url: URL,
  options: PageOptions,
): { next: string | null; text: string } {
  const { searchParams: query } = url
  // As a limit that is not documented would be: more than it is not given.
  const size = Math.min(Number(query.get('pageSize') ?? options.pageSize), options.pageSize)
  const agents = query.getAll('agentIds')
  const direction = options.order === 'oldest first' ? 1 : -1
  const cursor = query.get('cursor')
  const after = cursor === null ? undefined : Number(Buffer.from(cursor, 'base64url').toString())
  const matching = entries
    .filter(({ agentId }) => agents.length === 0 || agents.includes(agentId ?? ''))
    .filter(({ created }) => isBetween(created, query.get('fromDate'), query.get('toDate')))
    .sort((a, b) => direction * (a.sequence - b.sequence))
  const rest = matching.filter(({ sequence }) => after === undefined || direction * (sequence - after) > 0)
  const shown = rest.slice(0, size)
  let next: string | null = null
  if (rest.length > shown.length) {
    const following = new URL(url)
    following.searchParams.set('cursor', Buffer.from(String(shown.at(-1)!.sequence)).toString('base64url'))
    next = following.href
  }
  return { next, text: pageText(next, shown, matching.length) }
}

/** Put together of texts, so that a call stays as a test has written it. */
function pageText(next: string | null, shown: readonly Entry[], total: number): string {
  const results = shown.map(({ text }) => text).join(',')
  return `{"next":${JSON.stringify(next)},"previous":null,"results":[${results}],"total":${total}}`
}

function isBetween(created: string, from: string | null, to: string | null): boolean {
  return (from === null || micros(created) >= micros(from)) && (to === null || micros(created) <= micros(to))
}

/** A UTC time with six fraction digits, to be compared as text: a filter by milliseconds would be too kind. */
function micros(time: string): string {
  const [, seconds, fraction = ''] = /^(.{19})(?:\.(\d+))?Z$/.exec(time)!
  return `${seconds}.${fraction.padEnd(6, '0')}`
}
