/** What each network holds of something. Finds the network with the most members without a search. */
export class Shares<T> {
  /** In each network, the member that was added or renewed longest ago comes first. */
  readonly #members = new Map<string, Set<T>>()
  readonly #bySize = new Map<number, Set<string>>()
  #largest = 0

  add(network: string, member: T): void {
    const members = this.#members.get(network) ?? new Set()
    this.#members.set(network, members)
    const before = members.size
    members.add(member)
    this.#resized(network, before, members.size)
  }

  delete(network: string, member: T): void {
    const members = this.#members.get(network)
    if (members === undefined || !members.has(member)) return
    const before = members.size
    members.delete(member)
    if (members.size === 0) this.#members.delete(network)
    this.#resized(network, before, members.size)
  }

  /** Moves a member behind all others of its network, and its network behind all others of its size. */
  renew(network: string, member: T): void {
    this.delete(network, member)
    this.add(network, member)
  }

  /** The members of a network, longest there first. */
  of(network: string): ReadonlySet<T> {
    return this.#members.get(network) ?? new Set()
  }

  /** All members by network, the network with the most first. */
  *byNetwork(): Generator<ReadonlySet<T>> {
    for (let size = this.#largest; size > 0; size -= 1) {
      for (const network of this.#bySize.get(size) ?? []) yield this.of(network)
    }
  }

  #resized(network: string, before: number, after: number): void {
    if (before === after) return
    const old = this.#bySize.get(before)
    old?.delete(network)
    if (old?.size === 0) this.#bySize.delete(before)
    if (after > 0) {
      const same = this.#bySize.get(after) ?? new Set()
      this.#bySize.set(after, same.add(network))
    }
    if (after > this.#largest) this.#largest = after
    else if (before === this.#largest && !this.#bySize.has(before)) this.#largest = after
  }
}
