/** How long a verified event makes its address trusted, in ms. */
const TRUSTED_MS = 60 * 60_000
/** Genuine events come from a few addresses; this only bounds memory. */
const MOST_PEERS = 10_000

/**
 * The addresses that recently sent a fresh, verified event, each for the source that it was sent to. Their requests are
 * verified before they are rate-limited, so that bad requests from a shared address never cost its genuine ones.
 */
export class TrustedPeers {
  /** By address, the least recently seen first: when each source last had an event from it, in epoch milliseconds. */
  readonly #lastSeen = new Map<string, Map<string, number>>()

  add(address: string, source: string, now: number): void {
    const sources = this.#lastSeen.get(address) ?? new Map<string, number>()
    this.#lastSeen.delete(address)
    this.#lastSeen.set(address, sources.set(source, now))
    if (this.#lastSeen.size > MOST_PEERS) {
      for (const oldest of this.#lastSeen.keys()) {
        this.#lastSeen.delete(oldest)
        break
      }
    }
  }

  has(address: string, source: string, now: number): boolean {
    const seen = this.#lastSeen.get(address)?.get(source)
    return seen !== undefined && now - seen < TRUSTED_MS
  }

  /** Whether any source ever had an event from this address, as far back as is remembered. */
  knows(address: string): boolean {
    return this.#lastSeen.has(address)
  }
}
