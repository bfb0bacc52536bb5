import { setMaxListeners } from 'node:events'
import pRetry from 'p-retry'
import type { RetryPolicy } from '../domain/backoff.ts'
import type { Clock, Random } from '../domain/clock.ts'
import type { Attempt, Delivery, Settlement } from '../domain/delivery.ts'
import { RelayError } from '../domain/errors.ts'
import type { CountedOutcome } from '../domain/outcome.ts'
import { settle } from '../domain/settlement.ts'
import type { Outbox } from '../outbox/outbox.ts'
import type { Target } from '../targets/target.ts'
import type { Rate } from './rate-limit.ts'

/**
 * Longest sleep. Timers run on the monotonic clock and due times on the wall clock: when that is moved, a lane is wrong
 * for no longer than this.
 */
const LONGEST_SLEEP_MS = 30_000
/** Pause after the outbox could not be reached. */
const OUTBOX_PAUSE_MS = 1_000

export interface LaneOptions {
  readonly target: Target
  readonly outbox: Pick<Outbox, 'claim' | 'settle' | 'release'>
  readonly concurrency: number
  readonly rate: Rate
  readonly policy: RetryPolicy
  readonly clock: Clock
  readonly random: Random
  readonly log: LaneLog
}

/** What a lane tells of. */
export interface LaneLog {
  attempted(delivery: Delivery, attempt: Attempt, settlement: Settlement): void
  /** The delivery was cancelled while its attempt ran; the attempt is forgotten. */
  superseded(delivery: Delivery): void
  /** The outbox could not be reached; the lane goes on by itself. */
  outboxUnavailable(target: string, error: Error): void
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
  #sending = 0
  #settling = 0
  #claiming = false
  /** Woken while a claim was under way: its answer may be out of date. */
  #wokenMeanwhile = false
  #stopping = false
  #timer: NodeJS.Timeout | undefined

  constructor(options: LaneOptions) {
    this.#options = options
    setMaxListeners(0, this.#abort.signal)
  }

  /** Says that something may be due. Cheap, and may be called at any time. */
  wake(): void {
    if (this.#claiming) this.#wokenMeanwhile = true
    else void this.#fill()
  }

  /**
   * Starts nothing more, lets running attempts end for up to `graceMs`, then cuts them short and gives their deliveries
   * back. Resolves when no attempt is running and everything is settled.
   */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true
    clearTimeout(this.#timer)
    const cut = setTimeout(() => this.#abort.abort(), graceMs)
    while (this.#running.size > 0) await Promise.all(this.#running)
    clearTimeout(cut)
    await this.#options.target.close()
  }

  /** Claims as much as may be sent now, and sees to it that this is called again when more may be. */
  async #fill(): Promise<void> {
    clearTimeout(this.#timer)
    if (this.#stopping || this.#claiming) return
    const { rate, clock } = this.#options
    const slots = this.#freeSlots()
    // With no slot free, the end of an attempt comes back here.
    if (slots <= 0) return
    const limit = Math.min(slots, rate.available(clock.now()))
    if (limit <= 0) return this.#sleep(rate.waitMs(clock.now()))
    this.#claiming = true
    this.#wokenMeanwhile = false
    const claimed = await this.#track(this.#claim(limit))
    this.#claiming = false
    if (claimed === 'unavailable') return this.#sleep(OUTBOX_PAUSE_MS)
    if (this.#wokenMeanwhile) return this.#fill()
    if (claimed.nextDueAt === null) return
    const waitMs = claimed.nextDueAt - clock.now()
    return waitMs <= 0 ? this.#fill() : this.#sleep(waitMs)
  }

  async #claim(limit: number): Promise<{ nextDueAt: number | null } | 'unavailable'> {
    const { outbox, target, clock, log } = this.#options
    try {
      const { deliveries, nextDueAt } = await outbox.claim(target.name, limit, clock.now())
      for (const delivery of deliveries) {
        // Claimed in the moment the relay began to stop.
        if (this.#stopping) await outbox.release(delivery)
        else void this.#track(this.#attempt(delivery))
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
    return Math.min(concurrency - this.#sending, 2 * concurrency - this.#sending - this.#settling)
  }

  #sleep(ms: number): void {
    if (!this.#stopping) this.#timer = setTimeout(() => this.wake(), Math.min(ms, LONGEST_SLEEP_MS))
  }

  async #attempt(delivery: Delivery): Promise<void> {
    const { target, clock, rate } = this.#options
    const startedAt = clock.now()
    rate.spend(startedAt)
    this.#sending++
    const outcome = await target.send(delivery, this.#abort.signal)
    this.#sending--
    if (outcome.kind === 'interrupted') return this.#options.outbox.release(delivery)
    this.#settling++
    const settled = this.#settle(delivery, startedAt, outcome)
    this.wake()
    await settled
    this.#settling--
    this.wake()
  }

  async #settle(delivery: Delivery, startedAt: number, outcome: CountedOutcome): Promise<void> {
    const { target, outbox, policy, random, clock, log } = this.#options
    const finished = { startedAt, endedAt: clock.now(), outcome }
    const { attempt, settlement } = settle(delivery, finished, policy, random)
    try {
      const current = await pRetry(() => outbox.settle(delivery, attempt, settlement), {
        // The target has it: to forget that would be to send it again. Only the end of the process stops this.
        retries: Number.POSITIVE_INFINITY,
        minTimeout: OUTBOX_PAUSE_MS,
        maxTimeout: OUTBOX_PAUSE_MS,
        signal: this.#abort.signal,
        onFailedAttempt: ({ error }) => log.outboxUnavailable(target.name, error),
        shouldRetry: ({ error }) => error instanceof RelayError && error.code === 'outbox_unavailable',
      })
      if (current) log.attempted(delivery, attempt, settlement)
      else log.superseded(delivery)
    } catch (error) {
      log.outboxUnavailable(target.name, error as Error)
    }
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
