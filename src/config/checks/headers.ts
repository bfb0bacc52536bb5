import type { Draft } from '../draft.ts'
import type { Finding } from '../finding.ts'

/** Header names are the same in any case, so `authorization` beside `Authorization` would be sent twice. */
export function* checkHeaders({ targets }: Draft): Iterable<Finding> {
  for (const [name, target] of targets) {
    if (!('headers' in target)) continue
    const seen = new Map<string, string>()
    for (const header of Object.keys(target.headers ?? {})) {
      const earlier = seen.get(header.toLowerCase())
      if (earlier === undefined) seen.set(header.toLowerCase(), header)
      else
        yield {
          path: ['targets', name, 'headers', header],
          message: `is the same header as ${earlier}: remove one`,
          at: 'key',
        }
    }
  }
}
