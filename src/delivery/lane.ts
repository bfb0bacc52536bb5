import { setMaxListeners } from 'node:events'
import { dueTimes } from '../domain/backoff.ts'
import type { Clock } from '../domain/clock.ts'
import type { Delivery } from '../domain/delivery.ts'
import { errorMessage, RelayError } from '../domain/errors.ts'
import type { CountedOutcome, Outcome } from '../domain/outcome.ts'
import type { RateLimit } from '../domain/rate-limit.ts'
import type {
  AttemptUnderWay,
  Claim,
  OpenBreaker,
  Outbox,
  ProbeObstacle,
  ProbeResult,
  SavedThrottle,
} from '../outbox/outbox.ts'
import type { Target } from '../targets/target.ts'
import type { BodyShare, Room } from './body-budget.ts'
import {
  allowed,
  answered,
  type BreakerPolicy,
  type BreakerState,
  failed,
  HEALTHY,
  interrupted,
  isRecovering,
  started,
  succeeded,
} from './breaker.ts'
import type { LaneRate, TargetCapacity } from './capacity.ts'
import { Questions } from './questions.ts'
import { createSettling, OUTBOX_PAUSE_MS, type Settling, type SettlingLog, type SettlingOptions } from './settling.ts'
import { StoppedTime } from './stopped-time.ts'
import type { ThrottleTurn } from './throttle.ts'

/** Longest sleep. Due times are by the wall clock and timers are not: when that is moved, a lane is wrong for no longer. */
const LONGEST_SLEEP_MS = 30_000
/** An attempt that takes no longer is quick. */
const QUICK_MS = 50
/** Longer than the process group of a hook takes to end. */
const ABANDON_MS = 6_000
/** Longest pause between two claims that fail for a reason that repeating them does not change. */
const LONGEST_CLAIM_PAUSE_MS = 60_000
/** Claims and settlements take a commit. So that no slot waits for one, so many deliveries per slot may be in each of both. */
const PER_SLOT = 2
/** Claims for deliveries that have not failed, between two for what is due first, while a target recovers. */
const PROBE_CLAIMS = 3
/** Pause between such claims where all have failed: it takes the outbox milliseconds to find that out. */
const PROBE_CLAIM_PAUSE_MS = 1_000

export interface LaneOptions extends Omit<SettlingOptions, 'questions' | 'signal'> {
  readonly target: Target
  readonly outbox: Pick<Outbox, 'claim' | 'settle' | 'release' | 'saveBreaker' | 'saveThrottle'>
  readonly concurrency: number
  readonly rateLimit: RateLimit | null
  /** Of the target's name: shared with the lanes that this one replaces. */
  readonly capacity: TargetCapacity
  readonly clock: Clock
  readonly breaker: BreakerPolicy
  /** Whether a call's events go out one at a time. */
  readonly ordered: boolean
  readonly log: LaneLog
  /** A digest of the target's configuration, kept with an open circuit. Computed when it is first needed. */
  readonly configHash?: () => Promise<string>
  /** Where the target sends to, as an opaque text: a throttle ends when a reload changes it. */
  readonly destination?: string
  /** How long an attempt may take to end once it is cut short, and the target to close, in milliseconds. */
  readonly abandonMs?: number
}

/** What a lane tells of. */
export interface LaneLog extends SettlingLog {
  /** The target failed so often that nothing is sent before `probeAt`. */
  /** `failure`: the one that opened it. */
  opened(
    target: string,
    probeAt: number,
    failure: { readonly delivery: Delivery; readonly status: number | null; readonly error: string },
  ): void
  /** The target answers again. */
  closed(target: string): void
  /** The target asked for a pause: nothing is sent before `until`. */
  throttled?(target: string, until: number): void
  /** A target threw, or did not end when it was cut short: a fault of the relay. The attempt counts as failed or interrupted. */
  misbehaved?(target: string, error: unknown, delivery?: Delivery): void
}

/**
 * One target's deliveries: claims what is due, sends it, settles it. It holds no more than what it is sending, and twice as
 * much again where the target is quick, and sleeps until the next due time or until it is woken. Lanes share the
 * outbox and the budget of bodies, of which each can always have one delivery: a slow or dead target cannot stop others.
 */
export class Lane {
  readonly #options: LaneOptions
  readonly #abort = new AbortController()
  readonly #running = new Set<Promise<void>>()
  /** Claims and settlements under way. */
  readonly #questions: Questions
  readonly #settle: Settling
  readonly #rate: LaneRate
  readonly #bodies: BodyShare
  #settling = 0
  #reserved = 0
  /** When each attempt that has not ended was started, by its delivery's id. */
  readonly #underWay = new Map<number, number>()
  /** Claimed, and not being sent yet. */
  readonly #held: Delivery[] = []
  /** Whether the last attempt was over within moments. */
  #isQuick = false
  /** Whether the outbox may hold something due that is not leased. While not, nothing is claimed. */
  #mayBeDue = true
  /** The same for live deliveries: those in the background do not keep a new one from being sent at once. */
  #mayBeLiveDue = true
  /** Counts what may have made a live delivery due. */
  #liveHints = 0
  #claiming = false
  /** Woken while a claim was under way: its answer may be out of date. */
  #wokenMeanwhile = false
  #stopping = false
  /** Until it is known whether the target is paused, it is. */
  #paused = true
  readonly #stopped: StoppedTime
  #breaker: BreakerState = HEALTHY
  /** How often the circuit has opened. */
  #openings = 0
  /** Attempts under way that began after the circuit last opened. */
  #recent = 0
  /** Claims in a row that preferred deliveries that have not failed. */
  #probeClaims = 0
  /** When, during a recovery, it is worth looking for deliveries that have not failed (epoch milliseconds). */
  #probeClaimsFrom = 0
  #configHash: string | undefined
  /** A reload has replaced it. */
  #isReplaced = false
  #timer: NodeJS.Timeout | undefined
  /** Claims in a row that failed permanently. */
  #failedClaims = 0
  #closed: Promise<void> | undefined

  constructor(options: LaneOptions) {
    this.#options = options
    this.#questions = new Questions(options.clock)
    this.#stopped = new StoppedTime(options.clock.now())
    this.#settle = createSettling({ ...options, questions: this.#questions, signal: this.#abort.signal })
    this.#rate = options.capacity.rate(options.rateLimit)
    this.#bodies = options.capacity.bodies.share(() => this.wake())
    setMaxListeners(0, this.#abort.signal)
  }

  /** For how long the outbox has owed it an answer; 0 where it owes none. */
  unansweredMs(now: number): number {
    return this.#questions.openMs(now)
  }

  /** Says that something may be due. Cheap, and may be called at any time. A lane that was replaced passes it on. */
  wake(): void {
    if (this.#stopping) return void this.#options.capacity.wakeSuccessor(this)
    this.#mayBeLiveDue = true
    this.#liveHints += 1
    this.#claimMore()
  }

  #claimMore(): void {
    this.#mayBeDue = true
    if (this.#claiming) this.#wokenMeanwhile = true
    else void this.#fill()
  }

  /**
   * Keeps a slot for a delivery that is about to be recorded, with a body of this many bytes, so that it need not be read back
   * from the outbox. Only if it can be sent at once and nothing older waits, but for background deliveries: true means that `send` or
   * `cancelReservation` has to follow.
   */
  reserve(bytes: number): boolean {
    const now = this.#options.clock.now()
    if (this.#stopping || this.#paused || this.#mayBeLiveDue || this.#breaker.kind !== 'closed') return false
    if (this.#held.length > 0) return false
    if (this.#startable(now) < 1 || !this.#bodies.take(bytes)) return false
    this.#reserved++
    this.#options.capacity.reserve()
    return true
  }

  cancelReservation(bytes: number): void {
    this.#endReservation()
    this.#bodies.give(bytes)
    this.goOn()
  }

  #endReservation(): void {
    this.#reserved--
    this.#options.capacity.cancelReservation()
  }

  /** Sends a delivery that was leased for a reserved slot. */
  send(delivery: Delivery): void {
    this.#endReservation()
    // While the circuit is open, a claim chooses the delivery that probes.
    const isHeldUp = this.#stopping || this.#paused || this.#breaker.kind === 'open' || this.#throttledMs() > 0
    if (isHeldUp) this.#giveBackOne(delivery)
    else void this.#track(this.#attempt(delivery))
    this.goOn()
  }

  /** Something has ended that others may have waited for. */
  goOn(): void {
    if (this.#stopping) return void this.wake()
    this.#startHeld()
    if (this.#mayBeDue) this.#claimMore()
  }

  /** Called at the start, for which a lane waits, and when the target was paused or resumed. */
  setPaused(paused: boolean): void {
    this.#paused = paused
    const { capacity, clock } = this.#options
    if (!this.#stopping) {
      this.#stopped.set(paused, clock.now())
      if (capacity.enter(this, this.#options.destination)) this.#saveThrottle()
    }
    this.wake()
  }

  /** Gives back what is claimed and not started: it may have been changed since. What is still to be sent is claimed again. */
  dropClaimed(): void {
    if (this.#held.length === 0) return
    this.#giveBack()
    this.wake()
  }

  attemptsUnderWay(): AttemptUnderWay[] {
    const { name: target } = this.#options.target
    return [...this.#underWay].map(([deliveryId, startedAt]) => ({ deliveryId, target, startedAt }))
  }

  /**
   * Makes one attempt at once, whatever the cooldown, the backoff or a throttle, and resolves when it is on record.
   * `concurrency` and `rateLimit` still hold.
   */
  async probe(): Promise<ProbeResult> {
    const delivery = await this.#claimProbe()
    if (typeof delivery === 'string') return { outcome: delivery }
    const { kind } = await this.#track(this.#attempt(delivery))
    if (kind === 'interrupted') return { outcome: 'interrupted' }
    return { outcome: 'attempted', deliveryId: delivery.deliveryId }
  }

  async #claimProbe(): Promise<Delivery | ProbeObstacle> {
    const { outbox, target, clock, log, capacity } = this.#options
    if (this.#stopping) return 'interrupted'
    if (this.#paused) return 'paused'
    if (this.#freeSlots() < 1) return 'no_slot'
    if (this.#rate.available() - this.#reserved < 1) return 'rate_limited'
    const room = this.#bodies.request(1)
    if (room === undefined) return 'no_slot'
    this.#reserved++
    capacity.reserve()
    try {
      const { maxBytes, atLeastOne } = room
      const claim = outbox.claim(target.name, 1, clock.now(), { probe: true, early: true, maxBytes, atLeastOne })
      const { deliveries, nextBytes } = await this.#track(this.#questions.ask(claim))
      room.close(deliveries, nextBytes)
      const [delivery] = deliveries
      if (delivery === undefined) return nextBytes === undefined ? 'nothing_ready' : 'no_slot'
      if (!this.#stopping && !this.#paused) return delivery
      this.#giveBackOne(delivery)
      return this.#paused ? 'paused' : 'interrupted'
    } catch (error) {
      room.close([])
      log.outboxUnavailable(target.name, error as Error)
      return 'outbox_unavailable'
    } finally {
      this.#endReservation()
    }
  }

  /** See `Lanes.skipTime`. */
  skipTime(ms: number): void {
    this.#stopped.skip(ms)
  }

  /** Takes up an open breaker of the last run. It waits for no longer than its cooldown, also if the clock was ahead then. */
  restoreBreaker({ probeAt, cooldownMs, ...kept }: OpenBreaker): void {
    const latest = this.#options.clock.now() + cooldownMs
    this.#breaker = {
      kind: 'open',
      probeAt: Math.min(probeAt, latest),
      cooldownMs,
      probe: null,
      lastProbe: kept.lastProbe ?? null,
    }
  }

  /** Takes up the throttle of the last run. */
  restoreThrottle(throttle: SavedThrottle): void {
    const { capacity, clock, policy } = this.#options
    capacity.throttle.restore(throttle, clock.now(), policy.maxDelayMs)
  }

  /** Whether the target's configuration has this digest; true where no digest was configured. */
  async hasConfigHash(hash: string): Promise<boolean> {
    this.#configHash = await this.#options.configHash?.()
    return this.#configHash === undefined || this.#configHash === hash
  }

  /**
   * Starts nothing more, lets running attempts end for up to `graceMs` (null: for as long as their timeouts let them), then
   * cuts them short and gives their deliveries back. Resolves when no attempt is running and everything is settled. May be
   * called again, to set an end to what had none.
   */
  async stop(graceMs: number | null): Promise<void> {
    if (!this.#stopping) this.#rate.leave()
    this.#stopping = true
    if (graceMs === null) this.#isReplaced = true
    // One that is replaced leaves its target to another.
    if (graceMs !== null) this.#stopped.set(true, this.#options.clock.now())
    clearTimeout(this.#timer)
    this.#bodies.leave()
    this.#giveBack()
    const cut = graceMs === null ? undefined : setTimeout(() => this.#abort.abort(), graceMs)
    while (this.#running.size > 0) await Promise.all(this.#running)
    clearTimeout(cut)
    this.#closed ??= this.#close()
    await this.#closed
  }

  async #close(): Promise<void> {
    const { target, log, abandonMs = ABANDON_MS } = this.#options
    try {
      await within(abandonMs, target.close())
    } catch (error) {
      log.misbehaved?.(target.name, error)
    }
  }

  /** Starts and claims as much as may be now, and sees to it that this is called again when more may be. */
  async #fill(): Promise<void> {
    clearTimeout(this.#timer)
    if (this.#stopping || this.#paused) {
      this.#bodies.leave()
      return void this.#giveBack()
    }
    const { clock } = this.#options
    const now = clock.now()
    if (this.#breaker.kind === 'open' && now < this.#breaker.probeAt) return this.#sleep(this.#breaker.probeAt - now)
    const throttledMs = this.#throttledMs()
    if (throttledMs > 0) {
      this.#giveBack()
      return this.#sleep(throttledMs)
    }
    this.#startHeld()
    if (this.#claiming || !this.#mayBeDue) return
    const startable = this.#startable(now)
    if (this.#slots(now) > 0 && startable <= 0) {
      // Without reservations, 0 means that the limit has allowed one more since it was asked.
      return this.#sleep(Math.max(this.#rate.waitMs(), this.#reserved === 0 ? 1 : 0))
    }
    const ahead = this.#ahead()
    const isCareful = this.#breaker.kind === 'open' || isRecovering(this.#breaker)
    const limit = isCareful ? Math.min(1, startable) : startable + ahead - this.#held.length
    // With no slot free, the end of an attempt comes back here.
    if (limit <= 0 || (startable <= 0 && this.#held.length > ahead / 2)) return
    const room = this.#bodies.request(limit)
    // Bodies that this lane or another one gives up come back here.
    if (room === undefined) return
    this.#claiming = true
    this.#wokenMeanwhile = false
    const hints = this.#liveHints
    const claimed = await this.#track(this.#claim(limit, room, isCareful && this.#prefersUnfailed(now)))
    this.#claiming = false
    if (claimed === 'unavailable') {
      return this.#sleep(Math.min(LONGEST_CLAIM_PAUSE_MS, OUTBOX_PAUSE_MS * 2 ** this.#failedClaims))
    }
    const waitMs = claimed.nextDueAt === null ? Number.POSITIVE_INFINITY : claimed.nextDueAt - clock.now()
    this.#mayBeDue = this.#wokenMeanwhile || waitMs <= 0
    this.#mayBeLiveDue = this.#liveHints > hints || claimed.isLiveDue === true
    if (this.#mayBeDue) return this.#fill()
    if (Number.isFinite(waitMs)) this.#sleep(waitMs)
  }

  /**
   * Whether the next claim prefers deliveries that have not failed: each probe does, and most claims while the target recovers.
   * Where those that always fail are due first, they come one by one between others, and do not open the circuit again.
   */
  #prefersUnfailed(now: number): boolean {
    if (this.#breaker.kind === 'open') return true
    const isTurn = this.#probeClaims < PROBE_CLAIMS && now >= this.#probeClaimsFrom
    this.#probeClaims = isTurn ? this.#probeClaims + 1 : 0
    return isTurn
  }

  async #claim(limit: number, room: Room, probe: boolean): Promise<Omit<Claim, 'deliveries'> | 'unavailable'> {
    const { outbox, target, clock, policy, log } = this.#options
    try {
      const [now, latest] = dueTimes(policy, clock.now())
      const { maxBytes, atLeastOne } = room
      const claim = outbox.claim(target.name, limit, now, { latest, probe, maxBytes, atLeastOne })
      const { deliveries, ...rest } = await this.#questions.ask(claim)
      room.close(deliveries, rest.nextBytes)
      this.#failedClaims = 0
      this.#held.push(...deliveries)
      if (probe && deliveries.some(({ attempts }) => attempts > 0)) {
        this.#probeClaimsFrom = clock.now() + PROBE_CLAIM_PAUSE_MS
      }
      // Not chosen to probe: the circuit has opened meanwhile.
      if (this.#breaker.kind === 'open' && !probe) this.#giveBack()
      this.#startHeld()
      return rest
    } catch (error) {
      room.close([])
      log.outboxUnavailable(target.name, error as Error)
      this.#failedClaims = error instanceof RelayError && error.isPermanent ? this.#failedClaims + 1 : 0
      return 'unavailable'
    }
  }

  /** Starts of what is held as much as may be, and gives back what has no business in waiting. */
  #startHeld(): void {
    const now = this.#options.clock.now()
    if (this.#stopping || this.#paused) return void this.#giveBack()
    while (this.#held.length > 0 && this.#startable(now) > 0) void this.#track(this.#attempt(this.#held.shift()!))
    this.#giveBack(this.#ahead())
  }

  /** Gives back what is held, but for so many. */
  #giveBack(kept = 0): void {
    for (const delivery of this.#held.splice(kept)) this.#giveBackOne(delivery)
  }

  #giveBackOne(delivery: Delivery): void {
    this.#mayBeDue = true
    this.#mayBeLiveDue = true
    this.#liveHints += 1
    this.#wokenMeanwhile = true
    void this.#track(this.#release(delivery))
  }

  async #release(delivery: Delivery): Promise<void> {
    const { outbox, target, log } = this.#options
    try {
      this.#bodies.give(delivery.event.body.byteLength)
      await outbox.release(delivery)
    } catch (error) {
      log.outboxUnavailable(target.name, error as Error)
    }
    // If it was cancelled meanwhile, the next of its call has waited for this.
    if (this.#stopping || this.#options.ordered) this.wake()
  }

  /** How many attempts may start now. */
  #startable(now: number): number {
    return Math.min(this.#slots(now), this.#rate.available() - this.#reserved)
  }

  /** The same, as far as slots and the breaker go. */
  #slots(now: number): number {
    const { throttle } = this.#options.capacity
    return Math.min(
      this.#freeSlots(),
      allowed(this.#breaker, this.#recent + this.#reserved, now),
      throttle.allowed(now, this.#reserved),
    )
  }

  /** How long the target's throttle lasts. */
  #throttledMs(): number {
    const { capacity, clock, policy } = this.#options
    return capacity.throttle.isFree ? 0 : capacity.throttle.remainingMs(clock.now(), policy.maxDelayMs)
  }

  /**
   * How many deliveries may be held beyond those that are being sent, so that no slot waits for a claim: only where each of
   * them has its turn within moments, for what is held is out of an operator's hands.
   */
  #ahead(): number {
    const { concurrency, rateLimit, capacity } = this.#options
    const isFree = rateLimit === null && this.#breaker === HEALTHY && capacity.throttle.isFree
    return this.#isQuick && isFree ? PER_SLOT * concurrency : 0
  }

  /**
   * A settlement under way holds no slot, so that it can share a commit with the claim that refills the slot; but their
   * number is bounded: what they are about is sent once more after a crash.
   */
  #freeSlots(): number {
    const { concurrency, capacity } = this.#options
    const { taken } = capacity
    return Math.min(concurrency - taken, (1 + PER_SLOT) * concurrency - taken - this.#settling)
  }

  /** 0: it is reservations that use the rate up, and the end of one is what wakes the lane. */
  #sleep(ms: number): void {
    if (!this.#stopping && ms > 0) this.#timer = setTimeout(() => this.wake(), Math.min(ms, LONGEST_SLEEP_MS))
  }

  async #attempt(delivery: Delivery): Promise<Outcome> {
    const { clock, capacity } = this.#options
    const startedAt = clock.now()
    const stoppedBefore = this.#stopped.upTo(startedAt)
    const start = capacity.start(delivery.deliveryId, startedAt)
    const turn = capacity.throttle.started()
    this.#recent++
    const openings = this.#openings
    this.#breaker = started(this.#breaker, delivery.deliveryId)
    this.#underWay.set(delivery.deliveryId, startedAt)
    const outcome = await this.#send(delivery, start.sent)
    this.#underWay.delete(delivery.deliveryId)
    start.ended()
    capacity.throttle.ended(turn)
    if (openings === this.#openings) this.#recent--
    if (outcome.kind === 'interrupted') {
      this.#breaker = interrupted(this.#breaker, delivery.deliveryId, clock.now())
      start.recorded()
      await this.#release(delivery)
      // If it was cancelled meanwhile, others may have waited for its slot.
      this.goOn()
      return outcome
    }
    const endedAt = clock.now()
    this.#isQuick = endedAt - startedAt < QUICK_MS
    const isCircuitOpen = this.#breaker.kind === 'open'
    let throttledUntil: number | undefined
    try {
      throttledUntil = this.#hold(turn, outcome)
      this.#judge(delivery, outcome)
    } catch (error) {
      // What observes the lane is no reason to lose the delivery.
      this.#options.log.misbehaved?.(delivery.target, error, delivery)
    }
    this.#settling++
    const stoppedMs = this.#stopped.upTo(endedAt) - stoppedBefore
    const settled = this.#settle(delivery, {
      startedAt,
      endedAt,
      outcome,
      stoppedMs,
      isStopped: this.#stopped.isStopped,
      isCircuitOpen,
      ...(throttledUntil !== undefined && { throttledUntil }),
    })
    this.goOn()
    const isOver = await settled
    this.#settling--
    start.recorded()
    this.#bodies.give(delivery.event.body.byteLength)
    // A retry has to be waited for; the end of an ordered delivery may have made the next of its call ready.
    if (!isOver || this.#options.ordered) this.wake()
    else this.goOn()
    return outcome
  }

  /** The target's outcome. Never rejects, and ends soon after the lane is cut short, whatever the target does. */
  async #send(delivery: Delivery, onSent: () => void): Promise<Outcome> {
    const { target, log, abandonMs = ABANDON_MS } = this.#options
    const { signal } = this.#abort
    const given = deadlineAfter(abandonMs, signal)
    try {
      const outcome = await Promise.race([target.send(delivery, signal, onSent), given.up])
      if (outcome !== undefined) return outcome
      log.misbehaved?.(target.name, new Error('the attempt did not end when it was cut short'), delivery)
      return { kind: 'interrupted' }
    } catch (error) {
      log.misbehaved?.(target.name, error, delivery)
      return { kind: 'failed', error: `internal error: ${errorMessage(error)}` }
    } finally {
      given.end()
    }
  }

  /** Holds the lane as long as the answer asks for. Returns until when; undefined where it asks for no pause. */
  #hold(turn: ThrottleTurn, outcome: CountedOutcome): number | undefined {
    const { capacity, clock, concurrency, destination, log, policy, target } = this.#options
    const { throttle } = capacity
    // Another destination has taken its place, or it was not asked.
    if (!capacity.isAt(destination) || 'unsent' in outcome) return undefined
    const now = clock.now()
    const { throttled = false, retryAfterMs } = outcome.kind === 'failed' ? outcome : {}
    if (!throttled && retryAfterMs === undefined) {
      if (throttle.passed(turn, concurrency)) this.#saveThrottle()
      return undefined
    }
    const wasThrottled = this.#throttledMs() > 0
    const until = throttle.hold(turn, retryAfterMs, throttled, policy, now)
    this.#saveThrottle()
    if (!wasThrottled) log.throttled?.(target.name, until)
    return until
  }

  /** If this cannot be kept, a restart only has to be told again. */
  #saveThrottle(): void {
    const { outbox, target, capacity, clock, log } = this.#options
    const saved = outbox.saveThrottle(target.name, capacity.throttle.saved, clock.now())
    saved.catch((error) => log.outboxUnavailable(target.name, error as Error))
  }

  /** What an outcome says about the target's health. Only success closes an open circuit. */
  #judge(delivery: Delivery, outcome: CountedOutcome): void {
    const { target, breaker, concurrency, clock, log } = this.#options
    const before = this.#breaker
    const now = clock.now()
    if ('unsent' in outcome) {
      this.#breaker = interrupted(before, delivery.deliveryId, now)
      return
    }
    const isThrottled = outcome.kind === 'failed' && outcome.throttled === true
    if (outcome.kind === 'delivered') this.#breaker = succeeded(before, concurrency, breaker)
    else if (outcome.kind === 'refused' || isThrottled) this.#breaker = answered(before, delivery.deliveryId, now)
    else this.#breaker = failed(before, delivery, breaker, now)
    const after: BreakerState = this.#breaker
    if (after === before || (after.kind === 'closed' && before.kind === 'closed')) return
    if (before.kind === 'closed') {
      this.#openings++
      this.#recent = 0
    }
    if (after.kind === 'closed') this.#probeClaimsFrom = now
    this.#saveBreaker()
    // One that a reload has replaced no longer speaks for its target.
    if (this.#stopping) return
    if (after.kind === 'open' && before.kind === 'closed' && outcome.kind === 'failed') {
      log.opened(target.name, after.probeAt, { delivery, status: outcome.status ?? null, error: outcome.error })
    }
    if (after.kind === 'closed') log.closed(target.name)
  }

  /** If this cannot be kept, a restart will only have to find it out again. */
  #saveBreaker(): void {
    const { outbox, target, clock, log, configHash } = this.#options
    if (this.#isReplaced) return
    const saved = outbox.saveBreaker(target.name, this.#openBreaker(), clock.now())
    saved.catch((error) => log.outboxUnavailable(target.name, error as Error))
    if (this.#breaker.kind === 'closed' || this.#configHash !== undefined || configHash === undefined) return
    // Takes a while, on purpose. A restart before it is known waits out the cooldown.
    void this.#track(
      configHash().then((hash) => {
        this.#configHash = hash
        if (this.#breaker.kind === 'open') this.#saveBreaker()
      }),
    )
  }

  #openBreaker(): OpenBreaker | null {
    if (this.#breaker.kind === 'closed') return null
    const { probeAt, cooldownMs, lastProbe } = this.#breaker
    return {
      probeAt,
      cooldownMs,
      ...(lastProbe !== null && { lastProbe }),
      ...(this.#configHash !== undefined && { configHash: this.#configHash }),
    }
  }

  #track<T>(work: Promise<T>): Promise<T> {
    const { target, log } = this.#options
    const done = work.then(
      () => {},
      (error) => log.misbehaved?.(target.name, error),
    )
    this.#running.add(done)
    void done.then(() => this.#running.delete(done))
    return work
  }
}

/** Resolves `ms` after the signal is aborted, unless `end` is called. Leaves no timer and no listener behind. */
function deadlineAfter(ms: number, signal: AbortSignal): { up: Promise<undefined>; end: () => void } {
  let timer: NodeJS.Timeout | undefined
  let end = () => {}
  const up = new Promise<undefined>((resolve) => {
    const begin = () => {
      timer = setTimeout(resolve, ms, undefined)
    }
    signal.addEventListener('abort', begin)
    end = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', begin)
    }
    if (signal.aborted) begin()
  })
  return { up, end: () => end() }
}

/** Waits until `work` settles, but not longer than this. Rejects as it does. */
async function within(ms: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const tooLong = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  await Promise.race([work, tooLong]).finally(() => clearTimeout(timer))
}
