/** How long a genuine event speaks for the address it came from. */
const FAMILIAR_MS = 60 * 60_000
/** Genuine events come from a few addresses; this is only a bound. */
const MOST_PEERS = 10_000

/**
 * The addresses that sent a genuine event lately. Their requests are verified before they are limited, so that bad
 * requests from a shared address never cost its genuine ones.
 */
export class FamiliarPeers {
  /** Least recently seen first. */
  readonly #lastSeen = new Map<string, number>()

  saw(peer: string, now: number): void {
    this.#lastSeen.delete(peer)
    this.#lastSeen.set(peer, now)
    if (this.#lastSeen.size > MOST_PEERS) {
      for (const oldest of this.#lastSeen.keys()) {
        this.#lastSeen.delete(oldest)
        break
      }
    }
  }

  has(peer: string, now: number): boolean {
    const seen = this.#lastSeen.get(peer)
    return seen !== undefined && now - seen < FAMILIAR_MS
  }
}
