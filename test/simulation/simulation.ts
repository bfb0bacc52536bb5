import type Database from 'better-sqlite3'
import { Capacities } from '../../src/delivery/capacity.ts'
import { Lane, type LaneOptions } from '../../src/delivery/lane.ts'
import { type ConfiguredLane, Lanes } from '../../src/delivery/lanes.ts'
import { Recalls } from '../../src/delivery/recalls.ts'
import { longestDelayMs } from '../../src/domain/backoff.ts'
import type { Clock } from '../../src/domain/clock.ts'
import type { Delivery } from '../../src/domain/delivery.ts'
import type { Outcome } from '../../src/domain/outcome.ts'
import { createSteadyClock } from '../../src/domain/steady-clock.ts'
import type { Outbox } from '../../src/outbox/outbox.ts'
import { createRecallStore, type RecallStore } from '../../src/outbox/sqlite/recalls.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { withStartLimit } from '../../src/targets/interrupted-starts.ts'
import { emptyOutbox } from './empty-outbox.ts'
import { Broken, Ledger } from './ledger.ts'
import { simulatedOperator } from './operator.ts'
import { edited, type Plan, type PlannedTarget, planOf } from './plan.ts'
import { QueueRules, THROTTLED } from './queue-rules.ts'
import { simulatedThread } from './simulated-thread.ts'
import { numbersOf, settled, World } from './world.ts'

/** So much may happen in one seed, which has some 500 steps; more means that it goes round in circles. */
const MOST_STEPS = 200_000

/** Takes something out of the relay, to see whether that is found. What is absent stays as it is. */
export interface Sabotage {
  /** What the lanes use as the outbox. */
  readonly outbox?: (outbox: Outbox, world: World, database: Database.Database) => Outbox
  /** Changes to the tables, before the relay first starts. */
  readonly database?: (database: Database.Database) => void
  readonly lane?: (options: LaneOptions) => LaneOptions
  readonly lanes?: (lanes: Lanes) => void
  /** So that it is found soon: what is given here stands for what the seed says. */
  readonly plan?: (plan: Plan) => Plan
}

export interface Result {
  readonly seed: number
  /** Null: every promise was kept. */
  readonly broken: string | null
  readonly trace: readonly string[]
  readonly digest: string
  readonly steps: number
  readonly crashes: number
  readonly acknowledged: number
  readonly sent: number
}

/** Plays one seed to its end. It takes over the timers of the process meanwhile. */
export async function simulate(seed: number, sabotage: Sabotage = {}, mostSteps = MOST_STEPS): Promise<Result> {
  const world = new World(seed)
  const simulation = new Simulation(world, sabotage, mostSteps)
  const timers = world.seize()
  let broken: string | null = null
  try {
    await simulation.play()
  } catch (error) {
    if (!(error instanceof Broken)) throw error
    broken = error.message
  } finally {
    timers.release()
    simulation.database.close()
  }
  const { steps, crashes, ledger } = simulation
  const { trace } = world
  const counts = { steps, crashes, acknowledged: ledger.acknowledged.size, sent: ledger.sent }
  return { seed, broken, trace, digest: world.digest(), ...counts }
}

/** One run of the relay. */
interface Relay {
  readonly outbox: SqliteOutbox
  readonly used: Outbox
  readonly lanes: Lanes
  readonly recalls: Recalls
  readonly capacities: Capacities
  /** As in the daemon, one reload follows the other, and the end follows them all. */
  inTurn: Promise<unknown>
  isStopping: boolean
}

class Simulation {
  readonly database = emptyOutbox()
  readonly ledger: Ledger
  readonly #rules: QueueRules
  readonly #world: World
  readonly #plan: Plan
  readonly #sabotage: Sabotage
  readonly #mostSteps: number
  readonly #operator: ReturnType<typeof simulatedOperator>
  /** The targets of the configuration that was last written, by their names. */
  readonly #configured: Map<string, PlannedTarget>
  /** The lane of each target as the relay uses it. */
  #current: ReadonlyMap<string, PlannedTarget> = new Map()
  readonly #recalls: RecallStore
  #endedUnexpectedly = false
  /** Of the webhooks that events have come in. */
  readonly #numbers = new Map<string, number>()
  /** When each target answers again. */
  readonly #downUntil = new Map<string, number>()
  readonly #endOfTroubles: number
  /** By how much the wall clock is off. */
  #clockOffset = 0
  #relay: Relay | undefined
  #problem: Broken | undefined
  steps = 0
  crashes = 0

  constructor(world: World, sabotage: Sabotage, mostSteps: number) {
    this.#world = world
    this.#sabotage = sabotage
    this.#mostSteps = mostSteps
    const plan = planOf(world)
    this.#plan = sabotage.plan?.(plan) ?? plan
    this.#endOfTroubles = world.now + this.#plan.troubledMs
    this.ledger = new Ledger(world, this.database, this.#plan)
    this.#rules = new QueueRules(world, this.database, this.#plan, (message) => this.#break(message))
    this.#recalls = createRecallStore(this.database)
    this.#configured = new Map(this.#plan.targets.map((target) => [target.name, target]))
    this.#operator = simulatedOperator({
      world,
      database: this.database,
      ledger: this.ledger,
      rules: this.#rules,
      targets: this.#configured,
    })
    sabotage.database?.(this.database)
  }

  get #isTroubled(): boolean {
    return this.#world.now < this.#endOfTroubles
  }

  async play(): Promise<void> {
    this.#start()
    this.#planTroubles()
    await settled()
    while (await this.#world.step()) {
      if (this.#problem !== undefined) throw this.#problem
      this.steps += 1
      if (this.steps > this.#mostSteps) throw new Broken('it never comes to an end')
    }
    this.ledger.close(this.#plan.prunes)
    this.#rules.close()
  }

  #planTroubles(): void {
    const { events, troubledMs, bustle, stops, reloads, outages, operator, pauses, prunes, clockJump, targets } =
      this.#plan
    const world = this.#world
    const sometimes = (isWanted: boolean, times: number, act: () => void) => {
      if (!isWanted) return
      for (let time = world.between(1, times); time > 0; time--) world.after(world.random() * troubledMs, act)
    }
    for (let number = 1; number <= events; number++) {
      const callId = world.chance(0.9) ? `call-${world.between(1, this.#plan.calls)}` : null
      const event = world.pick(['call.started', 'call.joined', 'call.ended', 'call.billed'])
      const wanted = targets.filter(() => world.chance(0.8)).map(({ name }) => name)
      world.after(world.random() * troubledMs, () => this.#deliverWebhook({ number, callId, event, wanted }))
    }
    sometimes(stops, 3 * bustle, () => this.#restart())
    sometimes(reloads, 3 * bustle, () => this.#reload())
    sometimes(outages, 5, () => {
      const { name } = world.pick(targets)
      world.note(`${name} is down`)
      this.#downUntil.set(name, world.now + (world.random() * troubledMs) / 2)
    })
    sometimes(operator, 8 * bustle, () => this.#byOperator(() => this.#operator.decide()))
    sometimes(pauses, 4 * bustle, () => this.#byOperator(() => this.#operator.pauseOrResume()))
    sometimes(prunes, 4, () => this.#prune())
    sometimes(clockJump > 0, 3, () => {
      this.#clockOffset += (2 * world.random() - 1) * clockJump
      world.note(`the wall clock is off by ${Math.round(this.#clockOffset)} ms`)
    })
    // Then there are no more troubles, and everything has to come to an end.
    world.after(troubledMs + 1, () => this.#complete())
    world.after(troubledMs + 1, () => this.#byOperator(() => this.#operator.resumeAll()))
    world.after(troubledMs + 2, () => this.#letGo())
  }

  /** Somebody edits the configuration. */
  #edit(): void {
    const world = this.#world
    if (!this.#plan.changes || !this.#isTroubled) return
    const planned = world.pick(this.#plan.targets)
    const target = this.#configured.get(planned.name)
    if (target === undefined) this.#configured.set(planned.name, planned)
    else if (this.#configured.size > 1 && world.chance(0.15)) this.#configured.delete(target.name)
    else this.#configured.set(target.name, edited(world, target))
    world.note(`configured: ${JSON.stringify(this.#configured.get(planned.name) ?? `no ${planned.name}`)}`)
  }

  /** The configuration has all targets again, and pauses none. */
  #complete(): void {
    for (const planned of this.#plan.targets) {
      this.#configured.set(planned.name, { ...(this.#configured.get(planned.name) ?? planned), paused: false })
    }
    this.#reload()
  }

  /** What holds its call back waits for an operator, however long. */
  #letGo(): void {
    if (this.#operator.letGo()) this.#changed()
    const isOver = this.database.prepare('select 1 from live_deliveries limit 1').get() === undefined
    if (!isOver) this.#world.after(60_000, () => this.#letGo())
  }

  /** The sender tries until it is acknowledged, or gives up. */
  #deliverWebhook(webhook: Webhook, tries = 1): void {
    const world = this.#world
    const again = () => {
      if (tries < 20) world.after(world.random() * 200 * tries, () => this.#deliverWebhook(webhook, tries + 1))
    }
    const relay = this.#relay
    if (relay === undefined) {
      again()
      return
    }
    const { number, callId, event } = webhook
    const wanted = webhook.wanted.filter((name) => this.#configured.has(name))
    const eventId = `evt_${number}_${tries}`
    this.#numbers.set(eventId, number)
    // Without a call id, it is the body that makes an event.
    const text = JSON.stringify({ event, call: { callId }, ...(callId === null ? { number } : {}) })
    this.ledger.bodies.set(eventId, text)
    const receivedAt = Math.floor(world.now)
    const body = new TextEncoder().encode(text)
    const contentType = 'application/json'
    const made = {
      eventId,
      source: 'ultravox',
      event,
      callId,
      receivedAt,
      origin: 'webhook',
      contentType,
      body,
    } as const
    // Once the relay is gone, so is the connection.
    const { run } = world
    const heard = new Promise<'lost'>((resolve) => world.after(30_000, () => resolve('lost')))
    const answered = relay.lanes.record(made, wanted).then(
      ({ eventId: id, duplicate }) => {
        world.note(`acknowledged: ${id}${duplicate ? ' (duplicate)' : ''}`)
        if (!duplicate) this.ledger.acknowledged.set(id, wanted)
        return 'acknowledged' as const
      },
      () => 'unavailable' as const,
    )
    void Promise.race([answered, heard]).then((answer) => {
      if (answer !== 'acknowledged' || (run === world.run && world.chance(this.#plan.lostConnection))) again()
    })
  }

  #start(): void {
    const world = this.#world
    world.note('the relay starts')
    const thread = simulatedThread(
      world,
      this.database,
      this.#plan,
      this.#endedUnexpectedly,
      () => this.#isTroubled,
      (where) => this.#crash(where),
      (states) => this.#operator.noticed(states),
    )
    const outbox = new SqliteOutbox(thread, (error) => this.#break(error.message))
    const used = this.#rules.observed(this.#sabotage.outbox?.(outbox, world, this.database) ?? outbox)
    const capacities = new Capacities(() => world.now)
    const { lanes: made, settings } = this.#lanesOver(used, capacities)
    this.#install(settings)
    const lanes = new Lanes(made, {
      outbox: used,
      capacities,
      clock: this.#clock(),
      log: { orphaned() {}, outboxUnavailable() {} },
    })
    this.#sabotage.lanes?.(lanes)
    const log = { outboxUnavailable() {} }
    const recalls = new Recalls({ lanes, outbox: used, log })
    this.#rules.answered(this.#recalls.recallRequested(), [])
    const relay: Relay = { outbox, used, lanes, recalls, capacities, inTurn: Promise.resolve(), isStopping: false }
    this.#relay = relay
    // As the daemon: what cannot be read at the start ends it, and it is started again.
    lanes.start().catch(() => this.#relay === relay && this.#crash('at the start'))
  }

  #crash(where: string): void {
    const world = this.#world
    world.note(`crash ${where}`)
    this.crashes += 1
    this.#endedUnexpectedly = true
    this.#gone(true)
    world.after(world.random() * 100, () => this.#start())
  }

  #gone(isCrash: boolean): void {
    this.#relay = undefined
    this.ledger.crashed()
    this.#rules.gone(isCrash)
    this.#world.endRun()
  }

  #restart(): void {
    const relay = this.#relay
    if (relay === undefined || relay.isStopping) return
    const world = this.#world
    world.note('the relay is stopped')
    relay.isStopping = true
    const { run } = world
    void relay.inTurn
      .then(() => relay.lanes.stop(world.random() * 1_000))
      .then(() => relay.recalls.end())
      .then(() => relay.outbox.close())
      .then(() => {
        if (run !== world.run) return
        this.#endedUnexpectedly = false
        this.#gone(false)
        this.#start()
      })
    this.#edit()
  }

  #install(settings: ReadonlyMap<string, PlannedTarget>): void {
    this.#current = settings
    this.#rules.installed(settings)
  }

  /** Some lanes are replaced, as if their targets had been changed, and the others stay. */
  #reload(): void {
    const relay = this.#relay
    if (relay === undefined || relay.isStopping) return
    const world = this.#world
    this.#edit()
    // These lanes stay where their targets are as they were.
    const kept = new Set(this.#plan.targets.map(({ name }) => name).filter(() => world.chance(0.5)))
    world.note(`reload, the same: ${[...kept]}`)
    const configured = new Map(this.#configured)
    relay.inTurn = relay.inTurn.then(async () => {
      const running = (name: string) =>
        kept.has(name) && this.#current.get(name) === configured.get(name) ? relay.lanes.lane(name) : undefined
      const { lanes, settings } = this.#lanesOver(relay.used, relay.capacities, configured, running)
      // What cannot be read now leaves everything as it was.
      const put = await relay.lanes.prepare(lanes, Math.floor(world.now)).catch(() => undefined)
      if (put === undefined || this.#relay !== relay || relay.isStopping) return
      this.#install(settings)
      put()
    })
  }

  #byOperator(act: () => boolean): void {
    if (act()) this.#changed()
  }

  /** The relay notices within two seconds that another process has written, and earlier that a command asks for a recall. */
  #changed(): void {
    const world = this.#world
    const recall = this.#recalls.recallRequested()
    world.after(world.random() * 300, () => this.#relay?.recalls.request(recall), world.run)
    world.after(world.random() * 2_000, () => void this.#relay?.lanes.refresh(), world.run)
  }

  #prune(): void {
    const days = this.#world.pick([0, 1_000])
    const policy = { deliveredMs: days, deadMs: days, rejectionsMs: days, keysMs: 86_400_000 * 400, maxSizeBytes: null }
    this.#relay?.used.prune(policy, Math.floor(this.#world.now)).catch(() => {})
  }

  /** A clock of the relay's, which the machine's clock no longer moves. */
  #clock(): Clock {
    const wall = { now: () => Math.floor(this.#world.now + this.#clockOffset) }
    return createSteadyClock(wall, () => this.#world.now)
  }

  /** Lanes for a configuration, and the settings of the target of each. */
  #lanesOver(
    outbox: Outbox,
    capacities: Capacities,
    configured: ReadonlyMap<string, PlannedTarget> = new Map(this.#configured),
    running: (name: string) => Lane | undefined = () => undefined,
  ): { lanes: ReadonlyMap<string, ConfiguredLane>; settings: ReadonlyMap<string, PlannedTarget> } {
    const settings = new Map<string, PlannedTarget>()
    const lanes = new Map<string, ConfiguredLane>()
    for (const [name, given] of configured) {
      const lane = running(name)
      // A new lane has settings of its own, which tell it from the one before.
      const planned = lane === undefined ? { ...given } : given
      if (this.#configured.get(name) === given) this.#configured.set(name, planned)
      settings.set(name, planned)
      const { ordered, holdOnDead, paused, policy } = planned
      const order = !ordered ? 'none' : holdOnDead ? 'hold' : 'release'
      lanes.set(name, {
        lane: lane ?? this.#lane(planned, outbox, capacities),
        order,
        paused,
        maxDelayMs: longestDelayMs(policy),
      })
    }
    return { lanes, settings }
  }

  #lane(planned: PlannedTarget, outbox: Outbox, capacities: Capacities): Lane {
    const { name, ordered, concurrency, policy, breaker, rateLimit, holdOnDead } = planned
    const { random } = this.#world
    const options: LaneOptions = {
      target: withStartLimit(this.#target(planned)),
      outbox,
      concurrency,
      rateLimit,
      capacity: capacities.of(name),
      policy,
      breaker,
      ordered,
      holdOnDead,
      clock: this.#clock(),
      random,
      log: { attempted() {}, superseded() {}, opened() {}, closed() {}, outboxUnavailable() {} },
    }
    return new Lane(this.#sabotage.lane?.(options) ?? options)
  }

  /** A target as it appears to a lane. */
  #target(planned: PlannedTarget) {
    const world = this.#world
    const hand = { sending: 0 }
    return {
      name: planned.name,
      close: async () => {},
      send: (delivery: Delivery, signal: AbortSignal, onSent = () => {}): Promise<Outcome> => {
        onSent()
        world.note(`sent ${delivery.deliveryId} to ${planned.name}, attempt ${delivery.attempts + 1}`)
        try {
          this.ledger.started(planned, delivery, hand, this.#rules.isReordered(planned.name))
          this.#rules.started(planned, delivery, this.#current.get(planned.name) === planned)
        } catch (error) {
          this.#break((error as Error).message)
        }
        return new Promise((resolve) => {
          const end = (outcome: Outcome) => {
            signal.removeEventListener('abort', cut)
            world.cancel(timer)
            world.note(`${planned.name} answers ${delivery.deliveryId}: ${outcome.kind}`)
            this.ledger.ended(delivery, hand)
            this.#rules.ended(planned, delivery, outcome)
            resolve(outcome)
          }
          const cut = () => {
            // It may have got it all the same.
            if (world.chance(0.5)) this.ledger.received.add(`${planned.name} ${delivery.event.eventId}`)
            end({ kind: 'interrupted' })
          }
          const isHanging = this.#isTroubled && world.chance(planned.hangs)
          const answer = () => end(isHanging ? TIMEOUT : this.#answer(planned, delivery))
          const timer = world.after(isHanging ? planned.hangMs : world.random() * planned.slowest, answer, world.run)
          signal.addEventListener('abort', cut)
          if (this.#isTroubled && this.#isOneOf(delivery, planned.kills)) {
            world.after(
              world.random() * planned.slowest,
              () => this.#crash(`by delivery ${delivery.deliveryId}`),
              world.run,
            )
          }
        })
      },
    }
  }

  /** Whether the event is among this share of all: the same ones each time. */
  #isOneOf({ event }: Delivery, share: number): boolean {
    return numbersOf(this.#numbers.get(event.eventId) ?? 0)() < share
  }

  #answer({ name, fails, refuses, deceives, poison }: PlannedTarget, delivery: Delivery): Outcome {
    const { event } = delivery
    const world = this.#world
    const gets = () => this.ledger.received.add(`${name} ${event.eventId}`)
    if (this.#isTroubled) {
      if (world.now < (this.#downUntil.get(name) ?? 0)) return { kind: 'failed', error: 'down' }
      if (this.#isOneOf(delivery, poison)) return { kind: 'failed', error: 'http 500', response: 'poison' }
      if (world.chance(deceives)) {
        gets()
        return { kind: 'failed', error: 'timeout' }
      }
      if (world.chance(fails)) {
        if (world.chance(0.1)) return THROTTLED
        const retryAfterMs = world.chance(0.2) ? world.random() * 5_000 : undefined
        return { kind: 'failed', error: 'http 503', ...(retryAfterMs === undefined ? {} : { retryAfterMs }) }
      }
      if (world.chance(refuses)) return { kind: 'refused', error: 'http 410' }
    }
    gets()
    return { kind: 'delivered' }
  }

  /** What is found in the midst of the relay's own work must not look to it like an error of somebody else's. */
  #break(message: string): void {
    this.#problem ??= new Broken(message)
  }
}

const TIMEOUT = { kind: 'failed', error: 'timeout' } as const

interface Webhook {
  readonly number: number
  readonly callId: string | null
  readonly event: string
  readonly wanted: readonly string[]
}
