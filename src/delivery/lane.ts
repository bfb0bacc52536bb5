import { setMaxListeners } from 'node:events'
import pRetry from 'p-retry'
import { dueTimes, type RetryPolicy } from '../domain/backoff.ts'
import type { Clock, Random } from '../domain/clock.ts'
import type { Attempt, Delivery, Settlement } from '../domain/delivery.ts'
import { RelayError } from '../domain/errors.ts'
import type { CountedOutcome } from '../domain/outcome.ts'
import type { Rate } from '../domain/rate-limit.ts'
import { settle } from '../domain/settlement.ts'
import type { OpenBreaker, Outbox } from '../outbox/outbox.ts'
import type { Target } from '../targets/target.ts'
import {
  allowed,
  type BreakerPolicy,
  type BreakerState,
  failed,
  HEALTHY,
  interrupted,
  started,
  succeeded,
} from './breaker.ts'
import { Questions } from './questions.ts'

/**
 * Longest sleep. Timers run on the monotonic clock and due times on the wall clock: when that is moved, a lane is wrong
 * for no longer than this.
 */
const LONGEST_SLEEP_MS = 30_000
/** Pause after the outbox could not be reached. */
const OUTBOX_PAUSE_MS = 1_000

export interface LaneOptions {
  readonly target: Target
  readonly outbox: Pick<Outbox, 'claim' | 'settle' | 'release' | 'saveBreaker'>
  readonly concurrency: number
  readonly rate: Rate
  readonly policy: RetryPolicy
  readonly breaker: BreakerPolicy
  /** Whether a call's events go out one at a time. */
  readonly ordered: boolean
  /** Whether in an ordered target a dead delivery holds back the rest of its call. */
  readonly holdOnDead: boolean
  readonly clock: Clock
  readonly random: Random
  readonly log: LaneLog
}

/** What a lane tells of. */
export interface LaneLog {
  attempted(delivery: Delivery, attempt: Attempt, settlement: Settlement): void
  /** The delivery was cancelled while its attempt ran; the attempt is forgotten. */
  superseded(delivery: Delivery): void
  /** The target failed so often that nothing is sent before `probeAt`. */
  opened(target: string, probeAt: number): void
  /** The target answers again. */
  closed(target: string): void
  /** The outbox could not be reached; the lane goes on by itself. `delivery`: the one whose end is not on record. */
  outboxUnavailable(target: string, error: Error, delivery?: Delivery): void
}

/**
 * One target's deliveries: claims what is due, sends it, settles it. It holds no more than what it is sending, and
 * sleeps until the next due time or until it is woken. Nothing of it is shared with other lanes but the outbox, so a
 * slow or dead target is alone with its troubles.
 */
export class Lane {
  readonly #options: LaneOptions
  readonly #abort = new AbortController()
  readonly #running = new Set<Promise<void>>()
  /** Claims and settlements under way. */
  readonly #questions: Questions
  #sending = 0
  #settling = 0
  #reserved = 0
  /** Whether the outbox may hold something due that is not leased. While not, nothing is claimed. */
  #mayBeDue = true
  #claiming = false
  /** Woken while a claim was under way: its answer may be out of date. */
  #wokenMeanwhile = false
  #stopping = false
  /** Until it is known whether the target is paused, it is. */
  #paused = true
  #breaker: BreakerState = HEALTHY
  #timer: NodeJS.Timeout | undefined
  #closed: Promise<void> | undefined

  constructor(options: LaneOptions) {
    this.#options = options
    this.#questions = new Questions(options.clock)
    setMaxListeners(0, this.#abort.signal)
  }

  /** For how long the outbox has owed it an answer; 0 where it owes none. */
  unansweredMs(now: number): number {
    return this.#questions.openMs(now)
  }

  /** Says that something may be due. Cheap, and may be called at any time. */
  wake(): void {
    this.#mayBeDue = true
    if (this.#claiming) this.#wokenMeanwhile = true
    else void this.#fill()
  }

  /**
   * Keeps a slot for a delivery that is about to be recorded, so that it need not be read back from the outbox. Only if
   * it can be sent at once and nothing older waits: true means that `send` or `cancelReservation` has to follow.
   */
  reserve(): boolean {
    const { rate, clock } = this.#options
    const now = clock.now()
    if (this.#stopping || this.#paused || this.#mayBeDue || this.#breaker.kind !== 'closed') return false
    const slots = Math.min(this.#freeSlots(), allowed(this.#breaker, this.#sending + this.#reserved, now))
    if (Math.min(slots, rate.available(now) - this.#reserved) < 1) return false
    this.#reserved++
    return true
  }

  cancelReservation(): void {
    this.#reserved--
    if (this.#mayBeDue) this.wake()
  }

  /** Sends a delivery that was leased for a reserved slot. */
  send(delivery: Delivery): void {
    this.#reserved--
    void this.#track(this.#stopping || this.#paused ? this.#options.outbox.release(delivery) : this.#attempt(delivery))
    if (this.#mayBeDue) this.wake()
  }

  /** Called at the start, which a lane waits for, and when an operator has paused or resumed the target. */
  setPaused(paused: boolean): void {
    this.#paused = paused
    this.wake()
  }

  /** Takes up an open breaker of the last run. It waits for no longer than its cooldown, also if the clock was ahead then. */
  restoreBreaker({ probeAt, cooldownMs }: OpenBreaker): void {
    this.#breaker = { kind: 'open', probeAt: Math.min(probeAt, this.#options.clock.now() + cooldownMs), cooldownMs }
  }

  /**
   * Starts nothing more, lets running attempts end for up to `graceMs` (null: for as long as their timeouts let them), then
   * cuts them short and gives their deliveries back. Resolves when no attempt is running and everything is settled. May be
   * called again, to set an end to what had none.
   */
  async stop(graceMs: number | null): Promise<void> {
    this.#stopping = true
    clearTimeout(this.#timer)
    const cut = graceMs === null ? undefined : setTimeout(() => this.#abort.abort(), graceMs)
    while (this.#running.size > 0) await Promise.all(this.#running)
    clearTimeout(cut)
    this.#closed ??= this.#options.target.close()
    await this.#closed
  }

  /** Claims as much as may be sent now, and sees to it that this is called again when more may be. */
  async #fill(): Promise<void> {
    clearTimeout(this.#timer)
    if (this.#stopping || this.#claiming || this.#paused) return
    const { rate, clock } = this.#options
    const now = clock.now()
    if (this.#breaker.kind === 'open' && now < this.#breaker.probeAt) return this.#sleep(this.#breaker.probeAt - now)
    const slots = Math.min(this.#freeSlots(), allowed(this.#breaker, this.#sending + this.#reserved, now))
    // With no slot free, the end of an attempt comes back here.
    if (slots <= 0) return
    const limit = Math.min(slots, rate.available(now) - this.#reserved)
    if (limit <= 0) return this.#sleep(rate.waitMs(now))
    this.#claiming = true
    this.#wokenMeanwhile = false
    const claimed = await this.#track(this.#claim(limit))
    this.#claiming = false
    if (claimed === 'unavailable') return this.#sleep(OUTBOX_PAUSE_MS)
    const waitMs = claimed.nextDueAt === null ? Number.POSITIVE_INFINITY : claimed.nextDueAt - clock.now()
    this.#mayBeDue = this.#wokenMeanwhile || waitMs <= 0
    if (this.#mayBeDue) return this.#fill()
    if (Number.isFinite(waitMs)) this.#sleep(waitMs)
  }

  async #claim(limit: number): Promise<{ nextDueAt: number | null } | 'unavailable'> {
    const { outbox, target, clock, policy, log } = this.#options
    try {
      const claim = outbox.claim(target.name, limit, ...dueTimes(policy, clock.now()))
      const { deliveries, nextDueAt } = await this.#questions.ask(claim)
      for (const delivery of deliveries) {
        // Claimed in the moment the relay began to stop, the target was paused, or its breaker opened.
        if (this.#stopping || this.#paused || allowed(this.#breaker, this.#sending, clock.now()) <= 0) {
          await outbox.release(delivery)
        } else void this.#track(this.#attempt(delivery))
      }
      return { nextDueAt }
    } catch (error) {
      log.outboxUnavailable(target.name, error as Error)
      return 'unavailable'
    }
  }

  /**
   * A settlement under way holds no slot, so that it can share a commit with the claim that refills the slot; but there
   * are never more of them than slots.
   */
  #freeSlots(): number {
    const { concurrency } = this.#options
    const taken = this.#sending + this.#reserved
    return Math.min(concurrency - taken, 2 * concurrency - taken - this.#settling)
  }

  /** 0: it is reservations that use the rate up, and the end of one is what wakes the lane. */
  #sleep(ms: number): void {
    if (!this.#stopping && ms > 0) this.#timer = setTimeout(() => this.wake(), Math.min(ms, LONGEST_SLEEP_MS))
  }

  async #attempt(delivery: Delivery): Promise<void> {
    const { target, clock, rate } = this.#options
    const startedAt = clock.now()
    rate.spend(startedAt)
    this.#sending++
    this.#breaker = started(this.#breaker)
    const outcome = await target.send(delivery, this.#abort.signal)
    this.#sending--
    if (outcome.kind === 'interrupted') {
      this.#breaker = interrupted(this.#breaker, clock.now())
      return this.#options.outbox.release(delivery)
    }
    this.#judge(outcome)
    this.#settling++
    const settled = this.#settle(delivery, startedAt, outcome)
    if (this.#mayBeDue) this.wake()
    const isOver = await settled
    this.#settling--
    // A retry has to be waited for; the end of an ordered delivery may have made the next of its call ready.
    if (this.#mayBeDue || !isOver || this.#options.ordered) this.wake()
  }

  /** What an outcome says about the target's health. A refusal is an answer: the target is there. */
  #judge(outcome: CountedOutcome): void {
    const { target, outbox, breaker, concurrency, clock, log } = this.#options
    const before = this.#breaker
    const now = clock.now()
    if ('unsent' in outcome) this.#breaker = interrupted(before, now)
    else if (outcome.kind === 'failed') this.#breaker = failed(before, breaker, now)
    else this.#breaker = succeeded(before, concurrency)
    const after: BreakerState = this.#breaker
    if (after.kind === 'open' && before.kind === 'closed') log.opened(target.name, after.probeAt)
    if (after.kind === 'closed' && before.kind !== 'closed') log.closed(target.name)
    if (after.kind === before.kind) return
    // If this cannot be kept, a restart will only have to find it out again.
    outbox.saveBreaker(target.name, after.kind === 'open' ? after : null, now).catch((error) => {
      log.outboxUnavailable(target.name, error as Error)
    })
  }

  /** Returns whether nothing is left to be done for the delivery. */
  async #settle(delivery: Delivery, startedAt: number, outcome: CountedOutcome): Promise<boolean> {
    const { target, outbox, policy, holdOnDead, random, clock, log } = this.#options
    const finished = { startedAt, endedAt: clock.now(), outcome }
    const { attempt, settlement: settled } = settle(delivery, finished, policy, random)
    const settlement = settled.state === 'dead' && holdOnDead ? { ...settled, hold: true } : settled
    const settleNow = () => this.#questions.ask(outbox.settle(delivery, attempt, settlement))
    try {
      const current = await settleNow().catch((error) => this.#settleLater(delivery, settleNow, error))
      if (current) log.attempted(delivery, attempt, settlement)
      else log.superseded(delivery)
      // One that was cancelled and tried anew meanwhile could not be claimed while it was leased.
      return current && settlement.state !== 'pending'
    } catch (error) {
      log.outboxUnavailable(target.name, error as Error, delivery)
      return false
    }
  }

  /**
   * The target has it: to forget that would be to send it again. So it is tried until the outbox can be reached, or until
   * the relay has to end.
   */
  #settleLater(delivery: Delivery, settleNow: () => Promise<boolean>, error: Error): Promise<boolean> {
    const { target, log } = this.#options
    const passes = (problem: Error) => problem instanceof RelayError && problem.code === 'outbox_unavailable'
    log.outboxUnavailable(target.name, error, delivery)
    if (!passes(error)) throw error
    return pRetry(settleNow, {
      retries: Number.POSITIVE_INFINITY,
      minTimeout: OUTBOX_PAUSE_MS,
      maxTimeout: OUTBOX_PAUSE_MS,
      signal: this.#abort.signal,
      onFailedAttempt: ({ error }) => log.outboxUnavailable(target.name, error, delivery),
      shouldRetry: ({ error }) => passes(error),
    })
  }

  #track<T>(work: Promise<T>): Promise<T> {
    const done = work.then(
      () => {},
      () => {},
    )
    this.#running.add(done)
    void done.then(() => this.#running.delete(done))
    return work
  }
}
