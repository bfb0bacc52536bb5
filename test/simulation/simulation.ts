import { Capacities } from '../../src/delivery/capacity.ts'
import { Lane } from '../../src/delivery/lane.ts'
import { type ConfiguredLane, Lanes } from '../../src/delivery/lanes.ts'
import { longestDelayMs } from '../../src/domain/backoff.ts'
import type { Clock } from '../../src/domain/clock.ts'
import type { Delivery } from '../../src/domain/delivery.ts'
import type { Outcome } from '../../src/domain/outcome.ts'
import { createSteadyClock } from '../../src/domain/steady-clock.ts'
import type { Outbox } from '../../src/outbox/outbox.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { emptyOutbox } from './empty-outbox.ts'
import { Broken, Ledger } from './ledger.ts'
import { simulatedOperator } from './operator.ts'
import { type Plan, type PlannedTarget, planOf } from './plan.ts'
import { simulatedThread } from './simulated-thread.ts'
import { settled, World } from './world.ts'

/** So much may happen in one seed, which has some 400 steps; more means that it goes round in circles. */
const MOST_STEPS = 60_000

/** Puts something wrong between the lanes and the outbox, to see whether it is found. */
export type Sabotage = (outbox: Outbox, world: World) => Outbox

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
export async function simulate(
  seed: number,
  sabotage: Sabotage = (outbox) => outbox,
  mostSteps = MOST_STEPS,
): Promise<Result> {
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
  readonly capacities: Capacities
  /** As in the daemon, one reload follows the other, and the end follows them all. */
  inTurn: Promise<unknown>
  isStopping: boolean
}

class Simulation {
  readonly database = emptyOutbox()
  readonly ledger: Ledger
  readonly #world: World
  readonly #plan: Plan
  readonly #sabotage: Sabotage
  readonly #mostSteps: number
  readonly #operator: ReturnType<typeof simulatedOperator>
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
    this.#plan = planOf(world)
    this.#endOfTroubles = world.now + this.#plan.troubledMs
    this.ledger = new Ledger(world, this.database, this.#plan)
    this.#operator = simulatedOperator(world, this.database, this.#plan, this.ledger)
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
  }

  #planTroubles(): void {
    const { events, troubledMs, stops, reloads, outages, operator, pauses, prunes, clockJump, targets } = this.#plan
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
    sometimes(stops, 3, () => this.#restart())
    sometimes(reloads, 3, () => this.#reload())
    sometimes(outages, 5, () => {
      const { name } = world.pick(targets)
      world.note(`${name} is down`)
      this.#downUntil.set(name, world.now + (world.random() * troubledMs) / 2)
    })
    sometimes(operator, 8, () => this.#byOperator(() => this.#operator.decide()))
    sometimes(pauses, 4, () => this.#byOperator(() => this.#operator.pauseOrResume()))
    sometimes(prunes, 4, () => this.#prune())
    sometimes(clockJump > 0, 3, () => {
      this.#clockOffset += (2 * world.random() - 1) * clockJump
      world.note(`the wall clock is off by ${Math.round(this.#clockOffset)} ms`)
    })
    // Then there are no more troubles, and everything has to come to an end.
    world.after(troubledMs + 1, () => this.#byOperator(() => this.#operator.resumeAll()))
    world.after(troubledMs + 2, () => this.#letGo())
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
    const { number, callId, event, wanted } = webhook
    const eventId = `evt_${number}_${tries}`
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
      () => this.#isTroubled,
      (where) => this.#crash(where),
      (states) => this.#operator.noticed(states),
    )
    const outbox = new SqliteOutbox(thread, (error) => this.#break(error.message))
    const used = this.#sabotage(outbox, world)
    const capacities = new Capacities(() => world.now)
    const lanes = new Lanes(this.#lanesOver(used, capacities), {
      outbox: used,
      capacities,
      clock: this.#clock(),
      log: { orphaned() {}, outboxUnavailable() {} },
    })
    const relay: Relay = { outbox, used, lanes, capacities, inTurn: Promise.resolve(), isStopping: false }
    this.#relay = relay
    // As the daemon: what cannot be read at the start ends it, and it is started again.
    lanes.start().catch(() => this.#relay === relay && this.#crash('at the start'))
  }

  #crash(where: string): void {
    const world = this.#world
    world.note(`crash ${where}`)
    this.crashes += 1
    this.#gone()
    world.after(world.random() * 100, () => this.#start())
  }

  #gone(): void {
    this.#relay = undefined
    this.ledger.crashed()
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
      .then(() => relay.outbox.close())
      .then(() => {
        if (run !== world.run) return
        this.#gone()
        this.#start()
      })
  }

  /** Some lanes are replaced, as if their targets had been changed, and the others stay. */
  #reload(): void {
    const relay = this.#relay
    if (relay === undefined || relay.isStopping) return
    const world = this.#world
    const kept = new Set(this.#plan.targets.map(({ name }) => name).filter(() => world.chance(0.5)))
    world.note(`reload, the same: ${[...kept]}`)
    relay.inTurn = relay.inTurn.then(async () => {
      const running = (name: string) => (kept.has(name) ? relay.lanes.lane(name) : undefined)
      const lanes = this.#lanesOver(relay.used, relay.capacities, running)
      // What cannot be read now leaves everything as it was.
      const put = await relay.lanes.prepare(lanes, Math.floor(world.now)).catch(() => undefined)
      put?.()
    })
  }

  #byOperator(act: () => boolean): void {
    if (act()) this.#changed()
  }

  /** The relay notices within two seconds that another process has written. */
  #changed(): void {
    const world = this.#world
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

  #lanesOver(
    outbox: Outbox,
    capacities: Capacities,
    running: (name: string) => Lane | undefined = () => undefined,
  ): ReadonlyMap<string, ConfiguredLane> {
    const world = this.#world
    const clock = this.#clock()
    const log = { attempted() {}, superseded() {}, opened() {}, closed() {}, outboxUnavailable() {} }
    return new Map(
      this.#plan.targets.map((planned) => {
        const { name, ordered, concurrency, policy, breaker, rateLimit, holdOnDead } = planned
        const capacity = capacities.of(name)
        const target = this.#target(planned)
        const { random } = world
        const queue = { concurrency, rateLimit, capacity, policy, breaker, ordered, holdOnDead }
        const options = { target, outbox, ...queue, clock, random, log }
        const order = !ordered ? 'none' : holdOnDead ? 'hold' : 'release'
        const lane = running(name) ?? new Lane(options)
        return [name, { lane, order, paused: false, maxDelayMs: longestDelayMs(policy) }]
      }),
    )
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
          this.ledger.started(planned, delivery, hand)
        } catch (error) {
          this.#break((error as Error).message)
        }
        return new Promise((resolve) => {
          const end = (outcome: Outcome) => {
            signal.removeEventListener('abort', cut)
            world.cancel(timer)
            world.note(`${planned.name} answers ${delivery.deliveryId}: ${outcome.kind}`)
            this.ledger.ended(delivery, hand)
            resolve(outcome)
          }
          const cut = () => {
            // It may have got it all the same.
            if (world.chance(0.5)) this.ledger.received.add(`${planned.name} ${delivery.event.eventId}`)
            end({ kind: 'interrupted' })
          }
          const answer = () => end(this.#answer(planned, delivery))
          const timer = world.after(world.random() * planned.slowest, answer, world.run)
          signal.addEventListener('abort', cut)
        })
      },
    }
  }

  #answer({ name, fails, refuses, deceives }: PlannedTarget, { event }: Delivery): Outcome {
    const world = this.#world
    const gets = () => this.ledger.received.add(`${name} ${event.eventId}`)
    if (this.#isTroubled) {
      if (world.now < (this.#downUntil.get(name) ?? 0)) return { kind: 'failed', error: 'down' }
      if (world.chance(deceives)) {
        gets()
        return { kind: 'failed', error: 'timeout' }
      }
      if (world.chance(fails)) {
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

interface Webhook {
  readonly number: number
  readonly callId: string | null
  readonly event: string
  readonly wanted: readonly string[]
}
