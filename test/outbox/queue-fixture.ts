import type { Test } from 'tap'
import { Questions } from '../../src/delivery/questions.ts'
import { createSettling } from '../../src/delivery/settling.ts'
import type { Delivery } from '../../src/domain/delivery.ts'
import type { CountedOutcome } from '../../src/domain/outcome.ts'
import type { OutboxMaintenance } from '../../src/outbox/maintenance.ts'
import type { OutboxOperator } from '../../src/outbox/operator.ts'
import type { CallOrderSetting, Outbox } from '../../src/outbox/outbox.ts'
import { newEvent } from './samples.ts'

/** Every way into one outbox. */
export interface OpenOutbox {
  readonly outbox: Outbox
  readonly operator: OutboxOperator
  readonly maintenance: OutboxMaintenance
}

export interface Setting extends OpenOutbox {
  /** Ends the relay as `kill -9` does, and opens the outbox again. */
  readonly crash: () => Promise<OpenOutbox>
  readonly t: Test
  /** That of one scenario alone. */
  readonly target: string
}

export const FAILED = { kind: 'failed', error: 'http 503', response: 'no' } as const
export const REJECTED = { kind: 'refused', error: 'http 400', response: 'no' } as const
export const DELIVERED = { kind: 'delivered', status: 200, response: 'yes' } as const

/** Two attempts, a second apart. */
export const POLICY = {
  initialDelayMs: 1_000,
  factor: 1,
  maxDelayMs: 60_000,
  jitter: 0,
  giveUpAfterMs: null,
  maxAttempts: 2,
}

/** Everything is due by then, and what was under way when the relay crashed is no longer put off. */
const MUCH_LATER_MS = 200_000

let queues = 0

/** One call of a target, and the target's queue, by a clock of its own. */
export class Queue {
  readonly target: string
  readonly callId: string
  readonly outbox: Outbox
  readonly operator: OutboxOperator
  readonly maintenance: OutboxMaintenance
  /** Epoch milliseconds. */
  now = 100_000
  #order: CallOrderSetting = 'none'
  /** What was claimed and not given back. */
  readonly #claimed = new Set<number>()

  private constructor({ target, outbox, operator, maintenance }: Setting) {
    this.target = target
    queues += 1
    this.callId = `call-${queues}-of-${target}`
    this.outbox = outbox
    this.operator = operator
    this.maintenance = maintenance
  }

  static async create(setting: Setting, order: CallOrderSetting = 'none'): Promise<Queue> {
    const queue = new Queue(setting)
    await queue.apply(order)
    return queue
  }

  /** As a start or a reload with this configuration. */
  async apply(order: CallOrderSetting): Promise<void> {
    this.#order = order
    const settings = [{ target: this.target, order, paused: false, maxDelayMs: POLICY.maxDelayMs }]
    while ((await this.outbox.applyTargets(settings, this.now)).length > 0);
  }

  /** Records new events of the call and returns the ids of their deliveries. */
  async record(count: number, options: { lease?: boolean } = {}): Promise<number[]> {
    const before = new Set(await this.#ids())
    for (let n = 0; n < count; n++) {
      const { body, ...event } = newEvent({ callId: this.callId, receivedAt: this.now })
      const text = JSON.stringify({ event: event.eventId, call: { callId: this.callId } })
      const deliveries = [{ target: this.target, ordered: this.#order !== 'none', ...options }]
      const { leased } = await this.outbox.record(
        { ...event, event: event.eventId, body: Buffer.from(text) },
        deliveries,
      )
      for (const { deliveryId } of leased) this.#claimed.add(deliveryId)
    }
    return (await this.#ids()).filter((id) => !before.has(id))
  }

  /** Claims all that may be sent. */
  async claim(at = this.now): Promise<Delivery[]> {
    const { deliveries } = await this.outbox.claim(this.target, 100, at)
    for (const { deliveryId } of deliveries) this.#claimed.add(deliveryId)
    return deliveries
  }

  /** Claims exactly one delivery. */
  async claimOne(deliveryId: number): Promise<Delivery> {
    const [delivery, ...more] = await this.claim()
    if (delivery?.deliveryId !== deliveryId || more.length > 0) throw new Error(`delivery ${deliveryId} is not claimed`)
    return delivery
  }

  async release(delivery: Delivery): Promise<void> {
    this.#claimed.delete(delivery.deliveryId)
    await this.outbox.release(delivery)
  }

  /** Ends the attempt of a claimed delivery, as a lane does. It took a second. */
  async end(delivery: Delivery, outcome: CountedOutcome, rest: { isCircuitOpen?: boolean } = {}): Promise<void> {
    const settle = createSettling({
      outbox: this.outbox,
      policy: POLICY,
      holdOnDead: this.#order === 'hold',
      random: () => 0.5,
      log: { attempted() {}, superseded() {}, outboxUnavailable: (_, error) => Promise.reject(error) },
      questions: new Questions({ now: () => this.now }),
      signal: new AbortController().signal,
    })
    const startedAt = this.now
    this.now += 1_000
    await settle(delivery, { startedAt, endedAt: this.now, outcome, ...rest })
    this.#claimed.delete(delivery.deliveryId)
  }

  /** Claims a delivery and ends its attempt. */
  async attempt(deliveryId: number, outcome: CountedOutcome): Promise<void> {
    await this.end(await this.claimOne(deliveryId), outcome)
  }

  retry(...deliveryIds: number[]): Promise<number> {
    return this.operator.retryDeliveries({ deliveryIds }, this.now)
  }

  cancel(...deliveryIds: number[]): Promise<number> {
    return this.operator.cancelDeliveries({ deliveryIds }, this.now)
  }

  /** Sends all events of the call once more. */
  async replay(): Promise<number> {
    const events = await this.operator.readEvents({ callId: this.callId }, 0, 100)
    const deliveries = [{ target: this.target, ordered: this.#order !== 'none' }]
    return this.operator.replay(
      events.map(({ eventSeq }) => ({ eventSeq, deliveries })),
      this.now,
    )
  }

  async show(deliveryId: number) {
    const shown = await this.operator.showDelivery(deliveryId)
    if (shown === null) throw new Error(`there is no delivery ${deliveryId}`)
    return shown
  }

  async state(deliveryId: number): Promise<string> {
    const { state } = await this.show(deliveryId)
    if (state !== 'pending') return state
    if (this.#claimed.has(deliveryId)) return 'claimed'
    return (await this.isClaimable(deliveryId)) ? 'ready' : 'waiting'
  }

  /** Whether a claim gives it once it is due. */
  async isClaimable(deliveryId: number): Promise<boolean> {
    return (await this.#probe(deliveryId)) !== undefined
  }

  async states(...deliveryIds: number[]): Promise<string[]> {
    const states: string[] = []
    for (const id of deliveryIds) states.push(await this.state(id))
    return states
  }

  /** When a delivery is due, in words. */
  async due(deliveryId: number): Promise<string> {
    const { dueAt } = await this.show(deliveryId)
    if (dueAt === this.now) return 'due now'
    return dueAt === this.now + POLICY.initialDelayMs ? 'due after its delay' : `due at ${dueAt}, and it is ${this.now}`
  }

  /** What the next claim of a ready delivery says about its budget, in words. */
  async budget(deliveryId: number): Promise<string> {
    const { roundAttempts, firstAttemptAt } = (await this.#probe(deliveryId)) ?? {}
    const isFresh = roundAttempts === 0 && firstAttemptAt === null
    return isFresh ? 'with a fresh budget' : `with ${roundAttempts} attempts since ${firstAttemptAt}`
  }

  /** The outcomes of a delivery's attempts on record. */
  async recorded(deliveryId: number): Promise<string[]> {
    return (await this.show(deliveryId)).history.map(({ outcome }) => outcome)
  }

  /** What a claim gives of a delivery once everything is due; it is given back. */
  async #probe(deliveryId: number): Promise<Delivery | undefined> {
    // The delay after a crash begins with the first claim.
    await this.outbox.claim(this.target, 0, this.now)
    const { deliveries } = await this.outbox.claim(this.target, 100, this.now + MUCH_LATER_MS)
    for (const delivery of deliveries) await this.outbox.release(delivery)
    return deliveries.find((one) => one.deliveryId === deliveryId)
  }

  async #ids(): Promise<number[]> {
    return (await this.operator.findDeliveries({ target: this.target })).map(({ deliveryId }) => deliveryId)
  }
}
