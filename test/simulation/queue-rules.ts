import type Database from 'better-sqlite3'
import { longestDelayMs } from '../../src/domain/backoff.ts'
import type { Attempt, Delivery, Settlement } from '../../src/domain/delivery.ts'
import { MOST_INTERRUPTED_STARTS } from '../../src/domain/interrupted-starts.ts'
import type { Outcome } from '../../src/domain/outcome.ts'
import type {
  AttemptUnderWay,
  ClaimOptions,
  OpenBreaker,
  Outbox,
  SavedThrottle,
  Settled,
} from '../../src/outbox/outbox.ts'
import { altered } from './altered.ts'
import { Broken } from './ledger.ts'
import type { Plan, PlannedTarget } from './plan.ts'
import type { World } from './world.ts'

/** A throttled answer: its pause is longer than some delays, and shorter than others. */
export const THROTTLED = { kind: 'failed', error: 'http 429', throttled: true, retryAfterMs: 3_000 } as const
/** The time in which the relay does what it does at once, in milliseconds: a few batches of the outbox. */
const PROMPT_MS = 1_000
/** The time after which the relay knows what an operator has done. */
const NOTICED_MS = 2_000
/** Clocks count whole milliseconds, and an attempt may start in the same one in which something else ends. */
const SLACK_MS = 2
/** After this many live deliveries, one in the background may go. */
const LIVE_IN_A_ROW = 9

type Row = Readonly<Record<string, string | number | null>>

/** An attempt under way. */
interface Underway {
  readonly deliveryId: number
  readonly callId: string | null
  readonly startedAt: number
  /** An operator has retried its delivery meanwhile. */
  isRetried: boolean
}

/** What is known of a target, whichever lane sends to it. */
class TargetRecord {
  readonly name: string
  /** Null while the configuration does not name it. */
  settings: PlannedTarget | null = null
  /** What it is to be checked against, and since when attempts are counted for it. */
  ratedSince = 0
  readonly underWay = new Set<Underway>()
  readonly starts: number[] = []
  /** Periods with at least one attempt under way. */
  readonly busy: { from: number; to: number }[] = []
  /** When all slots were last in use. */
  fullAt = Number.NEGATIVE_INFINITY
  /** When an attempt of a delivery that had not failed last began or ended. */
  unfailedAt = Number.NEGATIVE_INFINITY
  /** Live deliveries claimed since the last one in the background. */
  liveInRow = 0
  /** When its circuit was last reported open, with what was reported; null while it is closed. */
  breaker: OpenBreaker | null = null
  /** Whether that is on disk: a restart goes by it. */
  isBreakerKnown = true
  hasOpened = false
  /** The pause that it has asked for, as reported last, and the settings of then; null while there is none. */
  throttle: { readonly until: number; readonly settings: PlannedTarget | null } | null = null
  hasThrottled = false
  /** Whether an operator has paused it. */
  isPaused = false
  /** Whether its order has ever been changed. */
  isReordered = false
  /** Why nothing can be tried, and the periods in which it was so. */
  readonly stopReasons = new Set<string>()
  readonly stops: { from: number; to: number }[] = []

  constructor(name: string) {
    this.name = name
  }

  stop(reason: string, now: number): void {
    if (this.stopReasons.size === 0) this.stops.push({ from: now, to: Number.POSITIVE_INFINITY })
    this.stopReasons.add(reason)
  }

  resume(reason: string, now: number): void {
    if (this.stopReasons.delete(reason) && this.stopReasons.size === 0) this.stops.at(-1)!.to = now
  }
}

/** For how long the periods lie between two instants. */
function overlap(periods: readonly { from: number; to: number }[], since: number, until: number): number {
  return periods.reduce((sum, { from, to }) => sum + Math.max(0, Math.min(to, until) - Math.max(from, since)), 0)
}

/**
 * What docs/concepts/retries-and-order.md promises while operators, reloads and failing targets act at once. Throws `Broken`, or
 * passes it to `onBroken` where the relay would catch it.
 */
export class QueueRules {
  readonly #world: World
  readonly #database: Database.Database
  readonly #onBroken: (message: string) => void
  /** Whether times can be relied on: no jumps of the clock, and no pauses after the outbox could not be reached. */
  readonly #isTimed: boolean
  readonly #isPruned: boolean
  readonly #targets = new Map<string, TargetRecord>()
  readonly #statements = new Map<string, Database.Statement>()
  /** By delivery, when the claim or the record that leased it last was requested. */
  readonly #claimedAt = new Map<number, number>()
  /** When a delivery was last retried or replayed. */
  readonly #revivedAt = new Map<number, number>()
  /** When the first attempt since then began, and how many have begun. */
  readonly #budgets = new Map<number, { readonly since: number; attempts: number }>()
  /** Deliveries that were rejected while the circuit was open, until that is settled. */
  readonly #rejectedWhileOpen = new Set<number>()
  /** Cancelled deliveries, each with the number of the recall that follows; 0 once it was answered. */
  readonly #cancelled = new Map<number, number>()
  /** Attempts that the outbox has accepted: `deliveryId startedAt`. */
  readonly #recorded = new Set<string>()
  /** Deliveries retried during the attempt that was made last. */
  readonly #retriedMeanwhile = new Set<number>()
  /** When an attempt of each delivery last ended. */
  readonly #endedAt = new Map<number, number>()
  /** When an attempt of each call, as `target callId`, last ended. */
  readonly #calls = new Map<string, number>()
  /** Deliveries that an operator has added: live ones go first. */
  readonly #background = new Set<number>()
  /** In how many attempts in a row the relay has crashed. */
  readonly #interrupted = new Map<number, number>()
  /** Deliveries that have failed in their budget. */
  readonly #hasFailed = new Set<number>()
  /** By the lane's settings, deliveries that failed for the first time in their budget since the lane's last success. */
  readonly #failed = new WeakMap<PlannedTarget, Set<number>>()
  /** Deliveries whose bodies were erased. */
  readonly #erased = new Set<number>()
  /** When something last happened after which the relay takes a while. */
  #disturbedAt = 0

  constructor(world: World, database: Database.Database, plan: Plan, onBroken: (message: string) => void) {
    this.#world = world
    this.#database = database
    this.#onBroken = onBroken
    this.#isTimed = plan.clockJump === 0 && plan.outboxFault === 0
    this.#isPruned = plan.prunes
    for (const { name } of plan.targets) this.#targets.set(name, new TargetRecord(name))
  }

  // What happens to the relay.

  /** These lanes are in use from now on. */
  installed(settings: ReadonlyMap<string, PlannedTarget>): void {
    const { now } = this.#world
    for (const target of this.#targets.values()) {
      const next = settings.get(target.name) ?? null
      const before = target.settings
      if (JSON.stringify(before?.rateLimit) !== JSON.stringify(next?.rateLimit)) target.ratedSince = now
      if (before !== null && next !== null && orderOf(before) !== orderOf(next)) target.isReordered = true
      if (before === null) target.isReordered ||= next !== null && target.starts.length > 0
      target.settings = next
    }
    this.#disturb()
  }

  /** The relay has ended; what it had in memory is gone. */
  gone(isCrash: boolean): void {
    const { now } = this.#world
    for (const target of this.#targets.values()) {
      for (const attempt of [...target.underWay]) {
        if (isCrash) this.#interrupted.set(attempt.deliveryId, (this.#interrupted.get(attempt.deliveryId) ?? 0) + 1)
        this.#end(target, attempt)
      }
      target.ratedSince = now
      if (isCrash) target.isBreakerKnown = false
    }
    this.#claimedAt.clear()
    this.#retriedMeanwhile.clear()
    this.#disturb()
  }

  /** Whether the order of a target's calls is still the one of the beginning. */
  isReordered(name: string): boolean {
    return this.#targets.get(name)!.isReordered
  }

  // What operators do.

  paused(name: string, isPaused: boolean): void {
    const { now } = this.#world
    const target = this.#targets.get(name)!
    target.isPaused = isPaused
    // The relay counts from when it has noticed a pause.
    if (!isPaused) target.resume('operator', now)
    this.#disturb(NOTICED_MS)
  }

  /** Retried, or replayed; `wasFinished`: or added. */
  revived(deliveryId: number, wasFinished: boolean): void {
    if (wasFinished) this.#background.add(deliveryId)
    this.#interrupted.delete(deliveryId)
    this.#hasFailed.delete(deliveryId)
    this.#revivedAt.set(deliveryId, this.#world.now)
    this.#budgets.delete(deliveryId)
    this.#cancelled.delete(deliveryId)
    for (const attempt of this.#attemptsOf(deliveryId)) attempt.isRetried = true
    this.#disturb(NOTICED_MS)
  }

  cancelled(deliveryId: number, recall: number): void {
    this.#cancelled.set(deliveryId, recall)
    this.#retriedMeanwhile.delete(deliveryId)
    for (const attempt of this.#attemptsOf(deliveryId)) attempt.isRetried = false
    this.#disturb(NOTICED_MS)
  }

  erased(deliveryId: number): void {
    this.#erased.add(deliveryId)
  }

  /** The relay has answered a recall: nothing that was cancelled before is sent any more, but for what is under way. */
  answered(recall: number, underWay: readonly AttemptUnderWay[]): void {
    const listed = new Set(underWay.map(({ deliveryId }) => deliveryId))
    for (const [deliveryId, requested] of this.#cancelled) {
      if (requested > recall || requested === 0) continue
      this.#cancelled.set(deliveryId, 0)
      const isUnderWay = this.#attemptsOf(deliveryId).length > 0
      if (isUnderWay && !listed.has(deliveryId))
        throw new Broken(`delivery ${deliveryId} is under way, and not reported`)
    }
  }

  underWayIds(): number[] {
    return [...this.#targets.values()].flatMap(({ underWay }) => [...underWay].map(({ deliveryId }) => deliveryId))
  }

  // What lanes do.

  started(planned: PlannedTarget, delivery: Delivery, isCurrent: boolean): void {
    const { now } = this.#world
    const { deliveryId, event } = delivery
    const target = this.#targets.get(planned.name)!
    if (!isCurrent) throw new Broken(`a lane of ${planned.name} that was replaced has started delivery ${deliveryId}`)
    if (this.#cancelled.get(deliveryId) === 0) {
      throw new Broken(`delivery ${deliveryId} is sent although its cancellation was confirmed`)
    }
    this.#notThrottled(target, deliveryId)
    this.#withinLimits(target, planned, deliveryId)
    if (planned.ordered && event.callId !== null) this.#inOrder(target, delivery)
    if (delivery.attempts === 0 && delivery.starts === undefined && !this.#revivedAt.has(deliveryId)) {
      this.#notStarved(target, delivery)
      target.unfailedAt = now
    }
    if ((this.#interrupted.get(deliveryId) ?? 0) > MOST_INTERRUPTED_STARTS) {
      throw new Broken(`delivery ${deliveryId} is sent although it has taken the relay down again and again`)
    }
    const budget = this.#budgets.get(deliveryId) ?? { since: now, attempts: 0 }
    this.#budgets.set(deliveryId, { ...budget, attempts: budget.attempts + 1 })
    target.starts.push(now)
    if (target.underWay.size === 0) target.busy.push({ from: now, to: Number.POSITIVE_INFINITY })
    target.underWay.add({ deliveryId, callId: event.callId, startedAt: now, isRetried: false })
    if (target.underWay.size >= planned.concurrency) target.fullAt = now
  }

  ended(planned: PlannedTarget, delivery: Delivery, outcome: Outcome): void {
    this.#interrupted.delete(delivery.deliveryId)
    this.#judge(planned, delivery.deliveryId, outcome)
    const target = this.#targets.get(planned.name)!
    const isOpen = target.breaker !== null && target.isBreakerKnown && target.settings === planned
    if (outcome.kind === 'refused' && isOpen) this.#rejectedWhileOpen.add(delivery.deliveryId)
    const budget = this.#budgets.get(delivery.deliveryId)
    if (isThrottled(outcome) && budget !== undefined) budget.attempts -= 1
    const attempt = [...target.underWay].find(({ deliveryId }) => deliveryId === delivery.deliveryId)
    if (attempt === undefined) return
    if (delivery.attempts === 0) target.unfailedAt = this.#world.now
    if (attempt.isRetried) this.#retriedMeanwhile.add(delivery.deliveryId)
    this.#end(target, attempt)
  }

  #judge(planned: PlannedTarget, deliveryId: number, outcome: Outcome): void {
    const failed = this.#failed.get(planned) ?? new Set()
    this.#failed.set(planned, failed)
    if (outcome.kind === 'delivered') failed.clear()
    if (outcome.kind === 'failed' && !isThrottled(outcome) && !this.#hasFailed.has(deliveryId)) failed.add(deliveryId)
  }

  #end(target: TargetRecord, attempt: Underway): void {
    const { now } = this.#world
    if (target.underWay.size >= (target.settings?.concurrency ?? 1)) target.fullAt = now
    target.underWay.delete(attempt)
    this.#endedAt.set(attempt.deliveryId, now)
    if (target.underWay.size === 0) target.busy.at(-1)!.to = now
    if (attempt.callId !== null) this.#calls.set(`${target.name} ${attempt.callId}`, now)
  }

  /** Nothing is sent before the pause is over that the target has asked for. */
  #notThrottled({ name, throttle, settings }: TargetRecord, deliveryId: number): void {
    if (!this.#isTimed || throttle === null || throttle.settings !== settings) return
    if (this.#world.now < throttle.until - SLACK_MS)
      throw new Broken(`${name} is sent ${deliveryId} although it is throttled`)
  }

  #withinLimits(target: TargetRecord, { name, concurrency, rateLimit }: PlannedTarget, deliveryId: number): void {
    const { now } = this.#world
    const others = [...target.underWay].map((attempt) => attempt.deliveryId)
    if (others.length >= concurrency) {
      throw new Broken(`${name} is sent ${deliveryId} beside ${others}, more at once than ${concurrency}`)
    }
    if (rateLimit === null) return
    const since = Math.max(now - rateLimit.perMs + SLACK_MS, target.ratedSince)
    const recent = target.starts.filter((at) => at > since).length
    if (recent >= rateLimit.max) {
      throw new Broken(`${name} is sent more than ${rateLimit.max} in ${rateLimit.perMs} ms`)
    }
  }

  /** One delivery of a call at a time, whatever became of it meanwhile, and the oldest unfinished one first. */
  #inOrder(target: TargetRecord, { deliveryId, event }: Delivery): void {
    const beside = [...target.underWay].find(({ callId }) => callId === event.callId)
    if (beside !== undefined) throw new Broken(`delivery ${deliveryId} is sent beside ${beside.deliveryId} of its call`)
    const claimedAt = this.#claimedAt.get(deliveryId) ?? Number.NEGATIVE_INFINITY
    for (const row of this.#all(
      `select d.delivery_id as id from live_deliveries d join events e using (event_seq)
       where d.target = ? and e.call_id = ? and d.event_seq < (select event_seq from live_deliveries where delivery_id = ?)`,
      target.name,
      event.callId,
      deliveryId,
    )) {
      const older = Number(row.id)
      if ((this.#revivedAt.get(older) ?? Number.NEGATIVE_INFINITY) <= claimedAt) {
        throw new Broken(`delivery ${deliveryId} is sent before ${older}, which is older and unfinished`)
      }
    }
  }

  /** Deliveries that fail do not keep one that has not failed waiting for longer than a cooldown. */
  #notStarved(target: TargetRecord, { deliveryId, event }: Delivery): void {
    const { now } = this.#world
    const settings = target.settings
    if (!this.#isTimed || settings === null || settings.rateLimit !== null) return
    if (settings.ordered && event.callId !== null) return
    const row = this.#one('select due_at as dueAt from live_deliveries where delivery_id = ?', deliveryId)
    if (row === undefined) return
    const heldUntil = target.throttle?.until ?? 0
    const since = Math.max(Number(row.dueAt), this.#disturbedAt, target.unfailedAt, heldUntil)
    const idleMs = now - since - overlap(target.busy, since, now)
    if (idleMs > settings.breaker.maxCooldownMs + PROMPT_MS) {
      throw new Broken(`delivery ${deliveryId} waits for others that fail, for ${Math.round(idleMs)} ms`)
    }
  }

  // What lanes and the outbox say to each other.

  /** The outbox, as the lanes use it. */
  observed(outbox: Outbox): Outbox {
    const world = this.#world
    const { run } = world
    /** What is found here must not look to the relay like an error of the outbox. */
    const check = (rule: () => void) => {
      if (world.run !== run) return
      try {
        rule()
      } catch (error) {
        if (!(error instanceof Broken)) throw error
        this.#onBroken(error.message)
      }
    }
    return altered(outbox, {
      claim: async (target, limit, now, options) => {
        const requestedAt = world.now
        const claim = await outbox.claim(target, limit, now, options)
        check(() => this.#claimed(target, claim.deliveries, requestedAt, now, options))
        return claim
      },
      record: async (event, deliveries) => {
        const requestedAt = world.now
        const recorded = await outbox.record(event, deliveries)
        check(() => {
          for (const { deliveryId, target } of recorded.leased) {
            this.#claimedAt.set(deliveryId, requestedAt)
            this.#targets.get(target)!.liveInRow += 1
          }
          for (const target of recorded.targets) this.#watch(target, world.now)
        })
        return recorded
      },
      settle: async (delivery, attempt, settlement) => {
        const settled = await outbox.settle(delivery, attempt, settlement)
        check(() => this.#settled(delivery, attempt, settlement, settled))
        return settled
      },
      applyTargets: async (settings, now) => {
        const requestedAt = world.now
        const putOff = this.#putOff()
        const unfinished = await outbox.applyTargets(settings, now)
        if (unfinished.length === 0) check(() => this.#applied(requestedAt, putOff))
        return unfinished
      },
      answerRecall: async (recall, underWay) => {
        await outbox.answerRecall(recall, underWay)
        check(() => this.answered(recall, underWay))
      },
      saveThrottle: async (target, throttle, now) => {
        check(() => this.#throttleChanged(target, throttle))
        await outbox.saveThrottle(target, throttle, now)
      },
      saveBreaker: async (target, breaker, now) => {
        check(() => this.#breakerChanged(target, breaker))
        await outbox.saveBreaker(target, breaker, now).catch((error) => {
          this.#targets.get(target)!.isBreakerKnown = false
          throw error
        })
      },
    })
  }

  #claimed(
    name: string,
    deliveries: readonly Delivery[],
    requestedAt: number,
    now: number,
    options: ClaimOptions = {},
  ): void {
    for (const { deliveryId } of deliveries) this.#claimedAt.set(deliveryId, requestedAt)
    const target = this.#targets.get(name)!
    const behind = deliveries.filter(({ deliveryId }) => this.#background.has(deliveryId))
    const isTurn = target.liveInRow + deliveries.length - behind.length >= LIVE_IN_A_ROW
    const last = deliveries.findLastIndex(({ deliveryId }) => this.#background.has(deliveryId))
    target.liveInRow = last < 0 ? target.liveInRow + deliveries.length : deliveries.length - 1 - last
    // In an ordered target, what a live one waits for is live as well, and remains so.
    if (options.probe === true || target.settings?.ordered !== false || target.isReordered || !this.#isTimed) return
    const [background] = behind
    if (background === undefined || isTurn) return
    const live = this.#all(
      `select delivery_id as id from live_deliveries
       where target = ? and ready = 1 and starts = 0 and due_at < ? order by due_at`,
      name,
      Math.min(now, requestedAt) - SLACK_MS,
    ).find(({ id }) => !this.#background.has(Number(id)) && !this.#isLeased(Number(id)))
    if (live !== undefined)
      throw new Broken(`delivery ${live.id} is live and waits for ${background.deliveryId}, which is not`)
  }

  /** Whether a lane may have it: it was claimed, and nothing is known of its end. */
  #isLeased(deliveryId: number): boolean {
    return this.#claimedAt.has(deliveryId)
  }

  #settled(delivery: Delivery, attempt: Attempt, settlement: Settlement, settled: Settled): void {
    const { now } = this.#world
    const { deliveryId, target: name } = delivery
    const target = this.#targets.get(name)!
    this.#claimedAt.delete(deliveryId)
    if (settled === 'gone') {
      if (this.#stateOf(deliveryId) !== undefined)
        throw new Broken(`an attempt of delivery ${deliveryId} is not on record`)
      return
    }
    this.#recorded.add(`${deliveryId} ${attempt.startedAt}`)
    if (this.#retriedMeanwhile.delete(deliveryId) && attempt.outcome !== 'delivered') this.#isFresh(deliveryId)
    const row = this.#one('select due_at as dueAt from live_deliveries where delivery_id = ?', deliveryId)
    this.#watch(name, row === undefined ? now : Math.max(now, Number(row.dueAt)))
    const wasOpen = this.#rejectedWhileOpen.delete(deliveryId)
    if (wasOpen && settlement.state === 'dead') {
      throw new Broken(`delivery ${deliveryId} was ended by an answer while the circuit of ${name} was open`)
    }
    const hasFailed = attempt.outcome === 'failed' && attempt.error !== THROTTLED.error
    if (settled === 'settled' && hasFailed) this.#hasFailed.add(deliveryId)
    if (settled === 'settled' && settlement.state === 'dead' && attempt.outcome === 'failed') {
      this.#mayGiveUp(target, delivery, attempt)
    }
  }

  /** A retry given during an attempt that did not succeed takes effect after it. */
  #isFresh(deliveryId: number): void {
    const row = this.#one(
      'select due_at as dueAt, round_attempts as attempts from live_deliveries where delivery_id = ?',
      deliveryId,
    )
    const isFresh = row !== undefined && Number(row.dueAt) <= this.#world.now + SLACK_MS && row.attempts === 0
    if (!isFresh) throw new Broken(`the retry of delivery ${deliveryId} during its attempt is lost`)
  }

  /** A delivery is given up only at the end of its budget: since the last retry, and without the time in which none could be made. */
  #mayGiveUp(target: TargetRecord, delivery: Delivery, attempt: Attempt): void {
    const { policy } = target.settings ?? {}
    const budget = this.#budgets.get(delivery.deliveryId)
    if (policy === undefined || budget === undefined) return
    const endedAt = attempt.startedAt + attempt.durationMs
    const triedMs = endedAt - budget.since - overlap(target.stops, budget.since, endedAt) + longestDelayMs(policy)
    const isOverdue = policy.giveUpAfterMs !== null && (triedMs + PROMPT_MS >= policy.giveUpAfterMs || !this.#isTimed)
    const isSpent = policy.maxAttempts !== null && budget.attempts >= policy.maxAttempts
    if (isOverdue || isSpent) return
    throw new Broken(`delivery ${delivery.deliveryId} is given up after ${budget.attempts} attempts in ${triedMs} ms`)
  }

  /** The outbox follows the configuration. */
  #applied(requestedAt: number, putOff: ReadonlyMap<number, number>): void {
    const { now } = this.#world
    for (const target of this.#targets.values()) {
      const { name, settings } = target
      if (target.isPaused) target.stop('operator', now)
      if (settings === null || settings.paused) target.stop('configuration', now)
      else target.resume('configuration', requestedAt)
      if (settings === null) continue
      this.#nothingHeld(name, settings)
      if (this.#isTimed) this.#notPutOff(target, settings, putOff)
      this.#watch(name, now)
    }
  }

  #nothingHeld(name: string, settings: PlannedTarget): void {
    const order = orderOf(settings)
    const waiting =
      order === 'none'
        ? this.#one('select delivery_id as id from live_deliveries where target = ? and ready = 0', name)
        : this.#one(
            `select delivery_id as id from live_deliveries d
             where target = ? and ready = 0 and call_key is not null
               and not exists (select 1 from live_deliveries o
                 where o.target = d.target and o.call_key = d.call_key and o.event_seq < d.event_seq)
               and (? != 'hold' or not exists (
                 select 1 from held_calls h join finished_deliveries f using (delivery_id)
                 where h.target = d.target and h.call_key = d.call_key and f.event_seq < d.event_seq))`,
            name,
            order,
          )
    if (waiting !== undefined) throw new Broken(`delivery ${waiting.id} waits though nothing holds it`)
  }

  #notPutOff({ name }: TargetRecord, { policy }: PlannedTarget, putOff: ReadonlyMap<number, number>): void {
    const { now } = this.#world
    const latest = now + longestDelayMs(policy) + PROMPT_MS
    const late = this.#one(
      'select delivery_id as id from live_deliveries where target = ? and due_at > ?',
      name,
      latest,
    )
    if (late !== undefined) throw new Broken(`delivery ${late.id} is put off for longer than ${policy.maxDelayMs} ms`)
    const forward = this.#all('select delivery_id as id, due_at as dueAt from live_deliveries where target = ?', name)
      .filter(({ id, dueAt }) => (putOff.get(Number(id)) ?? 0) > latest && Number(dueAt) < latest)
      .map(({ dueAt }) => Number(dueAt))
    const isSpread = forward.length < 4 || policy.maxDelayMs <= 50 || Math.max(...forward) > Math.min(...forward)
    if (!isSpread) throw new Broken(`${forward.length} deliveries of ${name} that were put off are due at once`)
  }

  /** When each unfinished delivery is due. */
  #putOff(): ReadonlyMap<number, number> {
    const rows = this.#all('select delivery_id as id, due_at as dueAt from live_deliveries')
    return new Map(rows.map(({ id, dueAt }) => [Number(id), Number(dueAt)]))
  }

  #breakerChanged(name: string, breaker: OpenBreaker | null): void {
    const { now } = this.#world
    const target = this.#targets.get(name)!
    const wasClosed = target.breaker === null && target.isBreakerKnown
    target.breaker = breaker
    target.isBreakerKnown = true
    if (breaker === null) return
    const { settings } = target
    const failed = settings === null ? undefined : this.#failed.get(settings)?.size
    if (wasClosed && settings !== null && failed !== undefined && failed < settings.breaker.failures) {
      throw new Broken(`the circuit of ${name} has opened after ${failed} different deliveries had failed`)
    }
    target.hasOpened = true
    this.#world.after(
      breaker.probeAt - now + PROMPT_MS,
      () => this.#checked(() => this.#isProbed(target, breaker, now)),
      this.#world.run,
    )
  }

  #throttleChanged(name: string, throttle: SavedThrottle | null): void {
    const { now } = this.#world
    const target = this.#targets.get(name)!
    const reported = throttle && { until: throttle.until, settings: target.settings }
    target.throttle = reported
    if (reported === null) return
    target.hasThrottled = true
    const check = () => this.#checked(() => this.#isTriedAgain(target, reported))
    this.#world.after(reported.until - now + PROMPT_MS, check, this.#world.run)
  }

  /** A target whose throttle is over is sent something, unless its circuit is open. */
  #isTriedAgain(target: TargetRecord, throttle: TargetRecord['throttle']): void {
    if (target.throttle !== throttle || target.breaker !== null || !this.#isSteady(target)) return
    if (target.starts.some((at) => at >= throttle!.until - SLACK_MS)) return
    const due = this.#dueFor(target, this.#world.now - PROMPT_MS)
    if (due !== undefined) throw new Broken(`${target.name} is not sent ${due} although its throttle is over`)
  }

  /** A target whose cooldown is over is probed, though attempts from before hang. */
  #isProbed(target: TargetRecord, breaker: OpenBreaker, savedAt: number): void {
    if (target.breaker !== breaker || !this.#isSteady(target)) return
    // What has started since it opened was a probe.
    if (target.starts.some((at) => at > savedAt)) return
    const due = this.#dueFor(target, breaker.probeAt - SLACK_MS)
    if (due !== undefined) throw new Broken(`${target.name} is not probed with ${due} although its cooldown is over`)
  }

  /** What is due is sent soon, unless something keeps it. */
  #watch(name: string, at: number): void {
    const target = this.#targets.get(name)
    if (target === undefined || !this.#isTimed) return
    const check = () => this.#checked(() => this.#isPrompt(target))
    this.#world.after(at - this.#world.now + 2 * PROMPT_MS, check, this.#world.run)
  }

  #isPrompt(target: TargetRecord): void {
    if (target.hasOpened || target.hasThrottled || !this.#isSteady(target)) return
    const due = this.#dueFor(target, this.#world.now - PROMPT_MS)
    if (due !== undefined) throw new Broken(`delivery ${due} is due and is not sent`)
  }

  /** Whether for a while now nothing has kept the target from being sent something. */
  #isSteady({ settings, isPaused, stopReasons, fullAt, underWay, throttle }: TargetRecord): boolean {
    const since = this.#world.now - PROMPT_MS
    if (throttle !== null && throttle.until > since) return false
    if (!this.#isTimed || settings === null || settings.rateLimit !== null) return false
    if (isPaused || stopReasons.size > 0) return false
    return this.#disturbedAt < since && fullAt < since && underWay.size < settings.concurrency
  }

  /** The id of a delivery that has been due since then and that nothing of its call is ahead of. */
  #dueFor(target: TargetRecord, since: number): number | undefined {
    const rows = this.#all(
      `select d.delivery_id as id, e.call_id as callId, d.updated_at as updatedAt from live_deliveries d join events e using (event_seq)
       where d.target = ? and d.ready = 1 and d.starts = 0 and d.due_at < ? and d.updated_at < ?`,
      target.name,
      since,
      since,
    )
    const underWay = new Set([...target.underWay].map(({ deliveryId }) => deliveryId))
    const calls = new Set([...target.underWay].map(({ callId }) => callId))
    for (const { id, callId } of rows) {
      const endedAt = this.#calls.get(`${target.name} ${callId}`) ?? Number.NEGATIVE_INFINITY
      const isBehind = target.settings!.ordered && callId !== null && (calls.has(String(callId)) || endedAt > since)
      const isJustOver = (this.#endedAt.get(Number(id)) ?? Number.NEGATIVE_INFINITY) > since
      if (!underWay.has(Number(id)) && !isBehind && !isJustOver) return Number(id)
    }
    return undefined
  }

  // At the end.

  /** Every attempt that the outbox has accepted is on record, and what was erased is not. */
  close(): void {
    const recorded = new Set(
      this.#all('select delivery_id as id, started_at as startedAt from attempts').map(
        ({ id, startedAt }) => `${id} ${startedAt}`,
      ),
    )
    for (const attempt of this.#recorded) {
      if (recorded.has(attempt)) continue
      if (!this.#isPruned) throw new Broken(`the attempt ${attempt} is not on record`)
    }
    for (const { id, response } of this.#all('select delivery_id as id, response from attempts')) {
      if (this.#erased.has(Number(id)) && response !== null && !this.#revivedAt.has(Number(id))) {
        throw new Broken(`an answer about delivery ${id} is on record although its call was erased`)
      }
    }
  }

  /** The relay takes a while from now on, or from after so many milliseconds. */
  #disturb(afterMs = 0): void {
    this.#disturbedAt = Math.max(this.#disturbedAt, this.#world.now + afterMs)
  }

  #checked(rule: () => void): void {
    try {
      rule()
    } catch (error) {
      if (!(error instanceof Broken)) throw error
      this.#onBroken(error.message)
    }
  }

  #attemptsOf(deliveryId: number): Underway[] {
    return [...this.#targets.values()].flatMap(({ underWay }) =>
      [...underWay].filter((attempt) => attempt.deliveryId === deliveryId),
    )
  }

  #stateOf(deliveryId: number): string | undefined {
    const row = this.#one(
      `select 'pending' as state from live_deliveries where delivery_id = ? union all
       select state from finished_deliveries where delivery_id = ?`,
      deliveryId,
      deliveryId,
    )
    return row === undefined ? undefined : String(row.state)
  }

  #one(sql: string, ...values: unknown[]): Row | undefined {
    return this.#statement(sql).get(...values) as Row | undefined
  }

  #all(sql: string, ...values: unknown[]): Row[] {
    return this.#statement(sql).all(...values) as Row[]
  }

  #statement(sql: string): Database.Statement {
    let statement = this.#statements.get(sql)
    if (statement === undefined) {
      statement = this.#database.prepare(sql)
      this.#statements.set(sql, statement)
    }
    return statement
  }
}

function isThrottled(outcome: Outcome): boolean {
  return outcome.kind === 'failed' && outcome.throttled === true
}

function orderOf({ ordered, holdOnDead }: PlannedTarget): 'none' | 'release' | 'hold' {
  if (!ordered) return 'none'
  return holdOnDead ? 'hold' : 'release'
}
