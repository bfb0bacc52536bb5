import type { Delivery } from '../domain/delivery.ts'

/** Bodies that all lanes hold together, claimed or under way, in bytes. */
export const BODY_BUDGET_BYTES = 64 * 1024 * 1024
/** Room for each body of which nothing is known. */
const USUAL_BYTES = 64 * 1024
/** The share of the budget that one claim may ask for: its bodies are in memory twice on their way from the outbox. */
const CLAIM_SHARE = 1 / 4

/** What a claim may bring. `close` has to be called with what it has brought. */
export interface Room {
  readonly maxBytes: number
  /** A lane that holds nothing gets one delivery, whatever its size. */
  readonly atLeastOne: boolean
  /** `nextBytes`: the size of the body that there was no room for. */
  close(deliveries: readonly Delivery[], nextBytes?: number): void
}

/**
 * Bounds the memory that bodies take while they are claimed or under way. A lane that finds no room waits in a queue; a body
 * that is large waits no longer for its turn than a small one. Each lane can have one delivery beyond the budget,
 * so that none ever waits for all others.
 */
export class BodyBudget {
  readonly bytes: number
  /** Below 0 if lanes have a delivery each beyond the budget. */
  #free: number
  /** The bytes that each waits for, in the order in which they came. */
  readonly #waiting = new Map<BodyShare, number>()
  /** It is the first of the queue, and there is room. */
  #turn: BodyShare | undefined

  constructor(bytes = BODY_BUDGET_BYTES) {
    this.bytes = bytes
    this.#free = bytes
  }

  get free(): number {
    return this.#free
  }

  /** A lane's share. `onRoom` is called when there is room that it has waited for. */
  share(onRoom: () => void): BodyShare {
    return new BodyShare(this, onRoom)
  }

  /** Whether `share` may take this much now. None overtakes those that wait. */
  has(bytes: number, share: BodyShare): boolean {
    if (this.#free < bytes) return false
    const [first = share] = this.#waiting.keys()
    return this.#turn === share || first === share
  }

  take(bytes: number): void {
    this.#free -= bytes
  }

  give(bytes: number): void {
    this.#free += bytes
    this.#serve()
  }

  /** One that waits already keeps its place. */
  wait(share: BodyShare, bytes: number): void {
    this.#waiting.set(share, bytes)
  }

  /** For one that has had its turn, and only now knows how much it needs. */
  waitFirst(share: BodyShare, bytes: number): void {
    const others = [...this.#waiting]
    this.#waiting.clear()
    for (const [each, needed] of [[share, bytes] as const, ...others]) this.#waiting.set(each, needed)
  }

  leave(share: BodyShare): void {
    if (this.#waiting.delete(share)) this.#serve()
  }

  #serve(): void {
    // What one that has its turn does may come back here.
    if (this.#turn !== undefined) return
    for (const [share, bytes] of this.#waiting) {
      if (this.#free < bytes) break
      this.#waiting.delete(share)
      this.#turn = share
      share.onRoom()
      this.#turn = undefined
    }
  }
}

/** What one lane holds of the budget. */
export class BodyShare {
  readonly onRoom: () => void
  readonly #budget: BodyBudget
  /** Deliveries. */
  #held = 0
  /** The body that the last claim had no room for, in bytes; 0: none. */
  #next = 0
  /** The largest body of the last claim, in bytes. */
  #largest = 0

  constructor(budget: BodyBudget, onRoom: () => void) {
    this.#budget = budget
    this.onRoom = onRoom
  }

  /** Reserves room for one body that is in memory already. */
  take(bytes: number): boolean {
    if (this.#held > 0 && !this.#budget.has(bytes, this)) return false
    this.#held++
    this.#budget.take(bytes)
    return true
  }

  /** A body that was held is not needed any more. */
  give(bytes: number): void {
    this.#held--
    this.#budget.give(bytes)
  }

  /** Reserves room for a claim of up to `limit` deliveries. Undefined without room; `onRoom` is called once there is some. */
  request(limit: number): Room | undefined {
    const atLeastOne = this.#held === 0
    const needed = Math.max(1, this.#next)
    const hasRoom = this.#budget.has(needed, this)
    if (!hasRoom && !atLeastOne) {
      this.#budget.wait(this, needed)
      return undefined
    }
    const wanted = limit * Math.max(USUAL_BYTES, this.#largest, this.#next)
    const most = Math.max(needed, this.#budget.bytes * CLAIM_SHARE)
    const maxBytes = hasRoom ? Math.min(wanted, most, this.#budget.free) : 0
    this.#budget.take(maxBytes)
    this.#budget.leave(this)
    return {
      maxBytes,
      atLeastOne,
      close: (deliveries, nextBytes) => {
        const sizes = deliveries.map(({ event }) => event.body.byteLength)
        this.#held += sizes.length
        this.#next = nextBytes ?? 0
        if (sizes.length > 0) this.#largest = Math.max(...sizes)
        this.#budget.give(maxBytes - sizes.reduce((sum, size) => sum + size, 0))
        if (sizes.length === 0 && nextBytes !== undefined) this.#budget.waitFirst(this, nextBytes)
      },
    }
  }

  /** Waits no longer for room. */
  leave(): void {
    this.#budget.leave(this)
  }
}
