/** At most `max` starts in any window of `perMs` milliseconds. */
export interface RateLimit {
  readonly max: number
  readonly perMs: number
}

/** Limits how many things start. Instants are milliseconds of one clock. */
export interface Rate {
  /** How many may start now; 0 or less: none. */
  available(now: number): number
  /** Counts one that starts now. */
  spend(now: number): void
  /** Milliseconds until the next may start, if nothing else starts meanwhile; 0 if one may start now. */
  waitMs(now: number): number
}

/** A window is counted in this many steps, so that memory is bounded whatever `max` is. */
const STEPS = 1_000

/** Starts that are counted as one: at the instant of the last of them. */
interface Step {
  readonly since: number
  at: number
  count: number
}

/**
 * A start whose instant at the receiver is not known yet. It counts until that is known, and from then on for one window.
 * `latest`: counted from then on, even if it is not over; null: not sent yet.
 */
export interface OpenStart {
  latest: number | null
}

/**
 * Counts the starts of the last window. Up to `max` may start at once, and then none before the first of them is a window old.
 *
 * A limit is for the receiver, which counts arrivals. An arrival lies between the moment something is sent and the moment it
 * is answered. So an open start counts from its end, but not from later than `marginMs` after it was sent: otherwise a
 * slow receiver would get less than the limit allows.
 *
 * If the clock is set back, the starts on record move with it: they are never older than they were.
 */
export class RateWindow implements Rate {
  readonly #max: number
  readonly #perMs: number
  readonly #marginMs: number
  readonly #stepMs: number
  /** Oldest first. */
  #steps: Step[] = []
  #first = 0
  #counted = 0
  #unsent = 0
  /** In the order in which they were sent. */
  readonly #sent = new Set<OpenStart>()
  #now = Number.NEGATIVE_INFINITY

  constructor({ max, perMs }: RateLimit, marginMs = 0) {
    this.#max = max
    this.#perMs = perMs
    this.#marginMs = marginMs
    this.#stepMs = max <= STEPS ? 0 : perMs / STEPS
  }

  available(now: number): number {
    this.#advance(now)
    return this.#max - this.#unsent - this.#sent.size - this.#counted
  }

  spend(now: number): void {
    this.#advance(now)
    this.#count(now)
  }

  /** Counts starts of the past, however the window has filled since. Those later than `now` count as of now. */
  add(instants: readonly number[], now: number): void {
    this.#advance(now)
    const starts = instants.map((at) => ({ since: Math.min(at, now), at: Math.min(at, now), count: 1 }))
    const steps = [...this.#steps.slice(this.#first), ...starts].sort((a, b) => a.at - b.at)
    this.#steps = []
    this.#first = 0
    this.#counted = 0
    for (const { since, at, count } of steps) this.#count(since, at, count)
    this.#advance(now)
  }

  /** Infinity: as long as a start that is not sent yet takes. */
  waitMs(now: number): number {
    let missing = 1 - this.available(now)
    if (missing <= 0) return 0
    for (let index = this.#first; index < this.#steps.length; index++) {
      const { at, count } = this.#steps[index]!
      missing -= count
      if (missing <= 0) return Math.ceil(at + this.#perMs - now)
    }
    for (const { latest } of this.#sent) {
      missing--
      if (missing === 0) return Math.ceil(latest! + this.#perMs - now)
    }
    return Number.POSITIVE_INFINITY
  }

  open(): OpenStart {
    this.#unsent++
    return { latest: null }
  }

  /** It may arrive from now on. Only the first call counts. */
  sent(start: OpenStart, now: number): void {
    this.#advance(now)
    if (start.latest !== null) return
    start.latest = now + this.#marginMs
    this.#unsent--
    this.#sent.add(start)
  }

  /** It is over, or has never been sent. */
  ended(start: OpenStart, now: number): void {
    this.#advance(now)
    if (start.latest === null) this.#unsent--
    // Else it is counted already.
    else if (!this.#sent.delete(start)) return
    this.#count(now)
  }

  #count(since: number, at = since, count = 1): void {
    this.#counted += count
    const last = this.#first < this.#steps.length ? this.#steps.at(-1) : undefined
    if (last !== undefined && at - last.since <= this.#stepMs) {
      last.at = at
      last.count += count
    } else this.#steps.push({ since, at, count })
  }

  #advance(now: number): void {
    const backMs = this.#now - now
    if (backMs > 0) this.#move(backMs)
    this.#now = now
    for (const start of this.#sent) {
      if (start.latest! > now) break
      this.#sent.delete(start)
      this.#count(start.latest!)
    }
    while (this.#first < this.#steps.length && this.#steps[this.#first]!.at + this.#perMs <= now) {
      this.#counted -= this.#steps[this.#first]!.count
      this.#first++
    }
    if (this.#first > STEPS) {
      this.#steps = this.#steps.slice(this.#first)
      this.#first = 0
    }
  }

  #move(backMs: number): void {
    this.#steps = this.#steps.map(({ since, at, count }) => ({ since: since - backMs, at: at - backMs, count }))
    for (const start of this.#sent) start.latest = start.latest! - backMs
  }
}

/** A limit on starts that count from the moment they begin. */
export function createRate(limit: RateLimit): Rate {
  return new RateWindow(limit)
}
