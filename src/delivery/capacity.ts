import { type Stopwatch, systemStopwatch } from '../domain/clock.ts'
import { type OpenStart, type RateLimit, RateWindow } from '../domain/rate-limit.ts'
import type { Outbox, PastAttempt } from '../outbox/outbox.ts'
import { BodyBudget } from './body-budget.ts'
import { Throttle } from './throttle.ts'

/**
 * An attempt counts from its end for the rate limit, but not from later than this share of the window after it was sent: it
 * has arrived by then, and a slow target loses no more than this share of its rate.
 */
const MARGIN_SHARE = 0.1
const MOST_MARGIN_MS = 1_000

/** The lane that sends a target's deliveries now. */
interface CurrentLane {
  /** Something may be due. */
  wake(): void
  /** Something is free. */
  goOn(): void
}

/** One attempt under way. */
export interface Started {
  /** The target may receive it from now on. */
  sent(): void
  /** Frees its slot. */
  ended(): void
  /** It is on record, or never will be. */
  recorded(): void
}

interface CountedAttempt {
  /** These two identify it on record. */
  readonly deliveryId: number
  readonly startedAt: number
  /** Null where there was no window when it started: the usual target has none. */
  starts: Map<RateWindow, OpenStart> | null
  isSent: boolean
  endedAt: number | null
}

interface CountedWindow {
  readonly limit: RateLimit
  readonly window: RateWindow
  /** Attempts that it has counted itself, until those on record are added; then null. */
  own: Set<string> | null
  /** Lanes with this limit that have not been stopped. */
  lanes: number
}

/** A rate limit as one lane asks for it. */
export interface LaneRate {
  /** How many attempts may start now; Infinity without a limit. */
  available(): number
  /** Milliseconds until the next may start; Infinity: until one that is under way is sent. */
  waitMs(): number
  /** The lane starts nothing more. */
  leave(): void
}

const UNLIMITED: LaneRate = { available: () => Number.POSITIVE_INFINITY, waitMs: () => 0, leave: () => {} }

/**
 * The slots and the rate limit of one target's name. Lanes come and go with reloads; what the target receives at once and
 * per window is counted here, for all of them together.
 */
export class TargetCapacity {
  readonly target: string
  /** Shared by all targets. */
  readonly bodies: BodyBudget
  /** A pause that the target has asked for. */
  readonly throttle = new Throttle()
  readonly #stopwatch: Stopwatch
  /** By limit: that of the current lane, and of those that reloads prepare. */
  readonly #windows = new Map<string, CountedWindow>()
  /** Under way, or not on record yet. */
  readonly #attempts = new Set<CountedAttempt>()
  #taken = 0
  #current: CurrentLane | undefined
  #destination: string | undefined

  constructor(target: string, stopwatch: Stopwatch = systemStopwatch, bodies = new BodyBudget()) {
    this.target = target
    this.bodies = bodies
    this.#stopwatch = stopwatch
  }

  /** Slots in use: by attempts under way and reservations, of all lanes. */
  get taken(): number {
    return this.#taken
  }

  reserve(): void {
    this.#taken++
  }

  cancelReservation(): void {
    this.#taken--
  }

  /**
   * This lane is the one to wake when something is free. `destination`: where it sends to, as an opaque text. Returns whether that
   * ended a throttle: another destination has asked for no pause.
   */
  enter(lane: CurrentLane, destination = ''): boolean {
    const isMoved = this.#destination !== undefined && this.#destination !== destination
    this.#current = lane
    this.#destination = destination
    return isMoved && this.throttle.lift()
  }

  /** Whether the current lane sends to this destination. */
  isAt(destination = ''): boolean {
    return (this.#destination ?? destination) === destination
  }

  /** A lane that was replaced has freed something. */
  wakeSuccessor(of: CurrentLane): void {
    if (this.#current !== of) this.#current?.wake()
  }

  /** A lane's view of a limit. Attempts of all lanes count, from before it was asked for as well; see `Capacities.restore`. */
  rate(limit: RateLimit | null): LaneRate {
    if (limit === null) return UNLIMITED
    const counted = this.#windows.get(nameOf(limit)) ?? this.#add(limit)
    const { window } = counted
    counted.lanes++
    return {
      leave: () => {
        counted.lanes--
        if (counted.lanes === 0) this.#windows.delete(nameOf(limit))
      },
      available: () => window.available(this.#stopwatch()),
      waitMs: () => window.waitMs(this.#stopwatch()),
    }
  }

  /** An attempt that is on record with these two once it is over. */
  start(deliveryId: number, startedAt: number): Started {
    const attempt: CountedAttempt = { deliveryId, startedAt, starts: null, isSent: false, endedAt: null }
    for (const { window, own } of this.#windows.values()) {
      attempt.starts ??= new Map()
      attempt.starts.set(window, window.open())
      own?.add(keyOf(attempt))
    }
    this.#attempts.add(attempt)
    this.#taken++
    return {
      sent: () => {
        if (attempt.isSent || attempt.endedAt !== null) return
        attempt.isSent = true
        if (attempt.starts === null) return
        for (const [window, start] of attempt.starts) window.sent(start, this.#stopwatch())
        // From now on it is known when the next may start.
        this.#current?.goOn()
      },
      ended: () => {
        this.#taken--
        attempt.endedAt = this.#stopwatch()
        for (const [window, start] of attempt.starts ?? []) window.ended(start, attempt.endedAt)
      },
      recorded: () => {
        this.#attempts.delete(attempt)
      },
    }
  }

  /** Windows of limits that do not know yet what was sent before. */
  incomplete(): RateLimit[] {
    return [...this.#windows.values()].flatMap(({ limit, own }) => (own === null ? [] : [limit]))
  }

  /** Counts the attempts on record for a limit that was incomplete. `recordedBy`: the time now, by which they are recorded. */
  complete(limit: RateLimit, attempts: readonly PastAttempt[], recordedBy: number): void {
    const counted = this.#windows.get(nameOf(limit))
    if (counted === undefined || counted.own === null) return
    const { window, own } = counted
    const now = this.#stopwatch()
    const others = attempts.filter((attempt) => !own.has(keyOf(attempt)))
    window.add(
      others.map(({ endedAt }) => now - Math.max(0, recordedBy - endedAt)),
      now,
    )
    counted.own = null
  }

  #add(limit: RateLimit): CountedWindow {
    const window = new RateWindow(limit, Math.min(MOST_MARGIN_MS, limit.perMs * MARGIN_SHARE))
    const added = { limit, window, own: new Set([...this.#attempts].map(keyOf)), lanes: 0 }
    this.#windows.set(nameOf(limit), added)
    const now = this.#stopwatch()
    window.add(
      [...this.#attempts].flatMap(({ endedAt }) => endedAt ?? []),
      now,
    )
    for (const attempt of this.#attempts) {
      if (attempt.endedAt !== null) continue
      const start = window.open()
      attempt.starts ??= new Map()
      attempt.starts.set(window, start)
      if (attempt.isSent) window.sent(start, now)
    }
    return added
  }
}

function keyOf({ deliveryId, startedAt }: Pick<PastAttempt, 'deliveryId' | 'startedAt'>): string {
  return `${deliveryId} ${startedAt}`
}

function nameOf({ max, perMs }: RateLimit): string {
  return `${max}/${perMs}`
}

/** Attempts of the outbox's record that are read in one step. */
const PAGE = 5_000

/** The capacities of all targets, for the life of the relay. */
export class Capacities {
  readonly #bodies: BodyBudget
  readonly #stopwatch: Stopwatch
  readonly #byTarget = new Map<string, TargetCapacity>()

  constructor(stopwatch: Stopwatch = systemStopwatch, bodies = new BodyBudget()) {
    this.#stopwatch = stopwatch
    this.#bodies = bodies
  }

  of(target: string): TargetCapacity {
    const capacity = this.#byTarget.get(target) ?? new TargetCapacity(target, this.#stopwatch, this.#bodies)
    this.#byTarget.set(target, capacity)
    return capacity
  }

  /**
   * Counts what is on record of the last window for limits that are new: after a start, and where a reload has added or
   * changed one. `now`: the time by which attempts are recorded. Rejects as the outbox does.
   */
  async restore(outbox: Pick<Outbox, 'attemptsBefore'>, now: number): Promise<void> {
    const wanted = [...this.#byTarget.values()].flatMap((capacity) =>
      capacity.incomplete().map((limit) => ({ capacity, limit, attempts: [] as PastAttempt[] })),
    )
    let open = wanted
    for (let before: number | null = null; open.length > 0; ) {
      const oldest = now - Math.max(...open.map(({ limit }) => limit.perMs))
      const page = await outbox.attemptsBefore(before, oldest, PAGE)
      for (const attempt of page.attempts) {
        for (const { capacity, limit, attempts } of open) {
          if (capacity.target === attempt.target && attempt.endedAt > now - limit.perMs) attempts.push(attempt)
        }
      }
      // As many as there may be are enough.
      open = open.filter(({ limit, attempts }) => attempts.length < limit.max)
      if (page.next === null) break
      before = page.next
    }
    for (const { capacity, limit, attempts } of wanted) capacity.complete(limit, attempts, now)
  }
}
