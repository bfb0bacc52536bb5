/** Called once for a redact path that has matched nothing in `count` events. `events`: their names. */
export type OnUnmatched = (path: string, count: number, events: readonly string[]) => void

/** Enough for a path that only one kind of event has. */
const EVENTS = 1_000
const MOST_NAMES = 20

/** Reports the redact paths of one target that never match. A path that has matched once is taken to be right. */
export class UnmatchedPaths {
  readonly #onUnmatched: OnUnmatched
  /** The paths that have not matched, by their index. */
  readonly #open: Map<number, string>
  readonly #names = new Set<string>()
  #seen = 0

  constructor(paths: readonly string[], onUnmatched: OnUnmatched) {
    this.#open = new Map(paths.entries())
    this.#onUnmatched = onUnmatched
  }

  count(event: string, matched: readonly boolean[]): void {
    if (this.#open.size === 0) return
    if (this.#names.size < MOST_NAMES) this.#names.add(event)
    this.#seen += 1
    for (const index of this.#open.keys()) if (matched[index]) this.#open.delete(index)
    if (this.#seen < EVENTS) return
    for (const path of this.#open.values()) this.#onUnmatched(path, this.#seen, [...this.#names])
    this.#open.clear()
  }
}
