import type Database from 'better-sqlite3'
import type { Delivery } from '../../domain/delivery.ts'
import { delayAfterInterruptedStarts, MOST_INTERRUPTED_STARTS } from '../../domain/interrupted-starts.ts'
import { classify } from './faults.ts'
import { beginWrite } from './transaction.ts'

/** How long all starts are recorded after an unexpected end. Later, what ends the relay is caught by its next two runs. */
const RECORDED_FOR_MS = 3_600_000
/** A suspect that runs for longer no longer keeps the next one waiting. */
const TURN_MS = 1_000
/** The same for one that would be given up if the relay ended now, or before it. */
const LAST_TURN_MS = 60_000
/** Of a suspect that is given up after one more interrupted start. */
const LAST = MOST_INTERRUPTED_STARTS - 1
/** How soon a suspect that waits for its turn is looked at again. */
const POLL_MS = 50

/** Which due deliveries a claim may lease. */
export interface Turns {
  /** Whether a due delivery that is not leased may be; of suspects, one in a claim. */
  mayGo(id: number): boolean
  /** The earlier of when the next delivery falls due and when one that has to wait may go. */
  nextDueAt(dueAt: number | null): number | null
}

/**
 * Finds deliveries whose attempts take the relay down. Leases leave no trace on disk, so in a run that follows an unexpected
 * end each delivery is marked before a lane gets it (`live_deliveries.starts`), and unmarked when it is settled or released.
 * What is marked at the next start was in a lane's hands when the relay ended: a suspect. Suspects are leased one at a time,
 * the more often they were marked the later, so that an innocent one gets through beside the one that kills. The last mark is made,
 * and stays, only beside no other suspect: a delivery is given up only if the relay ended while it was the only one under way.
 *
 * After a graceful end nothing is marked, and nothing is written that would not be anyway.
 */
export class StartRecord {
  readonly #database: Database.Database
  readonly #mark: Database.Statement
  readonly #unmark: Database.Statement
  readonly #startsOf: Database.Statement
  readonly #assertOwner: () => void
  /** What earlier runs left marked, until it is settled. */
  readonly #suspects: Set<number>
  /** Suspects that are leased, with the number of their interrupted starts and the instant of the lease. */
  readonly #turns = new Map<number, { readonly starts: number; readonly at: number }>()
  /** Leased and marked. */
  readonly #marked = new Set<number>()
  /** Released, and still marked on disk. */
  readonly #released = new Set<number>()
  #startedAt: number | undefined
  /** Whether all starts are recorded, and not only those of suspects. */
  #recordsAll: boolean

  /** `recordsAll`: the last run ended unexpectedly. `assertOwner` is called in each transaction. */
  constructor(database: Database.Database, recordsAll: boolean, assertOwner: () => void = () => {}) {
    this.#database = database
    this.#recordsAll = recordsAll
    this.#assertOwner = assertOwner
    this.#mark = database.prepare('update live_deliveries set starts = starts + 1 where delivery_id = ?')
    this.#unmark = database.prepare(
      'update live_deliveries set starts = starts - 1 where delivery_id = ? and starts > 0',
    )
    this.#startsOf = database.prepare('select starts from live_deliveries where delivery_id = ?').pluck()
    // by live_deliveries_interrupted
    const suspects = database.prepare('select delivery_id from live_deliveries where starts > 0').pluck()
    this.#suspects = new Set(suspects.all() as number[])
  }

  /** How many due deliveries may have to wait for their turns, at most. */
  get suspects(): number {
    return this.#suspects.size
  }

  /** Whether a delivery that is leased as it is recorded has to be marked. */
  get recordsAll(): boolean {
    return this.#recordsAll
  }

  /** Begins a claim. Throws where marks have to be taken back, and cannot be. */
  turns(now: number): Turns {
    this.#startedAt ??= now
    if (this.#recordsAll && now - this.#startedAt >= RECORDED_FOR_MS) this.#recordsAll = false
    this.flush()
    let waitUntil: number | null = null
    let hasSuspect = false
    return {
      mayGo: (id) => {
        const starts = this.#suspects.has(id) ? this.#currentStarts(id) : 0
        if (starts === 0 || starts >= MOST_INTERRUPTED_STARTS) return true
        const mayGoAt = hasSuspect ? now + POLL_MS : this.#turnAt(starts, now)
        if (mayGoAt > now) waitUntil = Math.min(waitUntil ?? mayGoAt, mayGoAt)
        else hasSuspect = true
        return mayGoAt <= now
      },
      nextDueAt: (dueAt) => (waitUntil === null ? dueAt : Math.min(dueAt ?? waitUntil, waitUntil)),
    }
  }

  /** Marks deliveries that are about to be leased, in a transaction of its own; throws if it cannot. */
  begin(deliveries: readonly Delivery[], now: number): void {
    const marked = deliveries.filter(
      ({ deliveryId, starts = 0 }) =>
        (this.#recordsAll || this.#suspects.has(deliveryId)) && starts < MOST_INTERRUPTED_STARTS,
    )
    if (marked.length === 0) return
    const isSuspect = marked.some(({ starts = 0 }) => starts > 0)
    const counted = marked.filter(({ starts = 0 }) => starts < LAST || this.#turns.size === 0)
    const lastBefore = [...this.#turns].flatMap(([id, { starts }]) =>
      starts === LAST && this.#marked.has(id) ? id : [],
    )
    const uncounted = isSuspect ? lastBefore : []
    this.#write(() => {
      this.mark(counted.map(({ deliveryId }) => deliveryId))
      for (const id of uncounted) this.#unmark.run(id)
    })
    for (const id of uncounted) this.#marked.delete(id)
    for (const { deliveryId } of counted) this.#marked.add(deliveryId)
    for (const { deliveryId, starts = 0 } of marked) if (starts > 0) this.#turns.set(deliveryId, { starts, at: now })
  }

  /** In a transaction of the caller's; `marked` has to follow once that is on disk. */
  mark(ids: readonly number[]): void {
    for (const id of ids) this.#mark.run(id)
  }

  marked(id: number): void {
    this.#marked.add(id)
  }

  /** A settlement has ended the lease, and with it the mark. */
  settled(id: number): void {
    this.#marked.delete(id)
    this.#turns.delete(id)
    this.#suspects.delete(id)
  }

  /** A lease has ended as if it had never been. The mark goes with `flush`. */
  released(id: number): void {
    this.#turns.delete(id)
    if (this.#marked.delete(id)) this.#released.add(id)
  }

  /** Takes back the marks of what was released, in a transaction of its own. Throws if it cannot; the next call tries again. */
  flush(): void {
    if (this.#released.size === 0) return
    this.#write(() => {
      for (const id of this.#released) this.#unmark.run(id)
    })
    this.#released.clear()
  }

  /** As `flush`, where a storage that cannot be written to now is no reason to fail. */
  flushIfPossible(): void {
    try {
      this.flush()
    } catch (error) {
      if (classify(error) === 'fatal') throw error
    }
  }

  /** At a graceful end no attempt is under way: what is still leased was given up by its lane. */
  end(): void {
    for (const id of this.#marked) this.#released.add(id)
    this.flushIfPossible()
  }

  /** A retry makes a delivery unsuspicious, as does its end. */
  #currentStarts(id: number): number {
    const starts = (this.#startsOf.get(id) as number | undefined) ?? 0
    if (starts === 0) this.#suspects.delete(id)
    return starts
  }

  #turnAt(starts: number, now: number): number {
    const delayedUntil = this.#startedAt! + delayAfterInterruptedStarts(starts)
    const isFree = [...this.#turns.values()].every(
      (turn) => now - turn.at >= (Math.max(starts, turn.starts) >= LAST ? LAST_TURN_MS : TURN_MS),
    )
    return isFree ? delayedUntil : Math.max(delayedUntil, now + POLL_MS)
  }

  #write(statements: () => void): void {
    beginWrite(this.#database)
    try {
      this.#assertOwner()
      statements()
      this.#database.exec('commit')
    } catch (error) {
      if (this.#database.inTransaction) this.#database.exec('rollback')
      throw error
    }
  }
}
