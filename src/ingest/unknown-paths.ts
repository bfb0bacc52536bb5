import { withoutKeys } from '../domain/secret.ts'
import type { UnknownPath } from '../outbox/outbox.ts'

/** Paths and peers that are remembered: enough for every webhook that is registered under a wrong path. */
const MOST = 50
const LONGEST_PATH = 200
/** For how long one that is not asked for any more is remembered, in milliseconds. */
const REMEMBERED_MS = 24 * 60 * 60_000

/** One request to a path that nothing listens on. `isSigned`: it has a header of the provider's signature. */
export interface UnknownPathRequest extends Pick<UnknownPath, 'method' | 'path' | 'peer' | 'isSigned'> {
  readonly at: number
}

/**
 * Counts requests to unknown paths by method, path and peer, in bounded memory. Scanners ask for many paths, but without the
 * headers of a webhook: requests that have these are dropped last.
 */
export class UnknownPaths {
  readonly #seen = new Map<string, UnknownPath>()

  note({ method, path: asked, peer, isSigned, at }: UnknownPathRequest): void {
    // Somebody may have put a secret into it.
    const path = asked.slice(0, LONGEST_PATH).split('/').map(withoutKeys).join('/')
    const key = `${method} ${peer} ${path}`
    const before = this.#seen.get(key)
    // The order of the map is that of the last requests.
    this.#seen.delete(key)
    this.#seen.set(key, {
      method,
      path,
      peer,
      isSigned: isSigned || before?.isSigned === true,
      count: (before?.count ?? 0) + 1,
      lastAt: at,
    })
    if (this.#seen.size > MOST) this.#dropOne()
  }

  /** Those of the last day, the most recent first. */
  list(now: number): UnknownPath[] {
    for (const [key, { lastAt }] of this.#seen) if (now - lastAt > REMEMBERED_MS) this.#seen.delete(key)
    return [...this.#seen.values()].reverse()
  }

  #dropOne(): void {
    const keys = [...this.#seen]
    const [key] = keys.find(([, { isSigned }]) => !isSigned) ?? keys[0]!
    this.#seen.delete(key)
  }
}
