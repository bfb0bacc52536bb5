import type { Test } from 'tap'
import { Capacities } from '../../src/delivery/capacity.ts'
import { Lane } from '../../src/delivery/lane.ts'
import { type ConfiguredLane, Lanes } from '../../src/delivery/lanes.ts'
import { Recalls } from '../../src/delivery/recalls.ts'
import type { Delivery } from '../../src/domain/delivery.ts'
import type { Outcome } from '../../src/domain/outcome.ts'
import type { Outbox } from '../../src/outbox/outbox.ts'
import { withStartLimit } from '../../src/targets/interrupted-starts.ts'
import { eventually } from '../eventually.ts'
import { POLICY, type Queue } from './queue-fixture.ts'

/** An attempt that ends when and as a test says. */
interface Sent {
  readonly delivery: Delivery
  readonly end: (outcome: Outcome) => void
}

/** The lane of a queue's target, as the daemon runs it. */
export class QueueLane {
  readonly sent: Sent[] = []
  /** Ids of deliveries that are claimed, in the order in which they were. */
  readonly claimed = new Set<number>()
  readonly #queue: Queue
  readonly #lanes: Lanes
  readonly #recalls: Recalls
  readonly #outbox: Outbox
  #calls = 0
  #isStopped = false

  /** Starts it, with a slot for `concurrency` attempts. */
  static async start(t: Test, queue: Queue, concurrency: number): Promise<QueueLane> {
    const lane = new QueueLane(queue, concurrency)
    t.teardown(() => lane.stop())
    await lane.#lanes.start()
    return lane
  }

  private constructor(queue: Queue, concurrency: number) {
    this.#queue = queue
    this.#outbox = this.#observed(queue.outbox)
    const clock = { now: () => queue.now }
    const send = (delivery: Delivery, signal: AbortSignal) =>
      new Promise<Outcome>((end) => {
        this.sent.push({ delivery, end })
        signal.addEventListener('abort', () => end({ kind: 'interrupted' }))
      })
    const capacities = new Capacities()
    const lane = new Lane({
      target: withStartLimit({ name: queue.target, send, close: async () => {} }),
      outbox: this.#outbox,
      concurrency,
      rateLimit: null,
      capacity: capacities.of(queue.target),
      policy: POLICY,
      breaker: { failures: 1_000, cooldownMs: 1_000, maxCooldownMs: 1_000 },
      ordered: false,
      holdOnDead: false,
      clock,
      random: () => 0.5,
      log: { attempted() {}, superseded() {}, opened() {}, closed() {}, outboxUnavailable() {} },
    })
    const configured: ConfiguredLane = { lane, order: 'none', paused: false, maxDelayMs: POLICY.maxDelayMs }
    this.#lanes = new Lanes(new Map([[queue.target, configured]]), {
      outbox: this.#outbox,
      capacities,
      clock,
      log: { orphaned() {}, outboxUnavailable() {} },
    })
    this.#recalls = new Recalls({ lanes: this.#lanes, outbox: this.#outbox, log: { outboxUnavailable() {} } })
  }

  /** Waits for an attempt, counted from 0. */
  async attempt(n: number): Promise<Sent> {
    await eventually(() => this.sent.length > n, `attempt ${n}`)
    return this.sent[n]!
  }

  /** What the daemon does once another process has written to the outbox. Returns when the lane has nothing left to do. */
  async noticeChange(): Promise<void> {
    await this.#lanes.refresh()
    await this.idle()
  }

  /** What the daemon does once a command asks for a recall. */
  async recall(): Promise<void> {
    this.#recalls.request(1)
    await this.idle()
  }

  /** Waits until the outbox has answered everything, and the lane has done what follows from it. */
  async idle(): Promise<void> {
    for (let turns = 0; turns < 3; turns++) {
      await new Promise((resolve) => setImmediate(resolve))
      if (this.#calls > 0) turns = 0
    }
  }

  /** Has it claim ahead: one attempt hangs, and the lane has claimed more. Returns the ids: under way, and claimed. */
  async claimAhead(count: number): Promise<[underWay: number, ...claimed: number[]]> {
    // Only behind a target that was quick a lane claims ahead.
    await this.#queue.record(1)
    await this.noticeChange()
    ;(await this.attempt(0)).end({ kind: 'delivered' })
    await this.idle()
    await this.#queue.record(1 + count)
    await this.noticeChange()
    const { delivery } = await this.attempt(1)
    const claimed = [...this.claimed].filter((id) => id !== delivery.deliveryId)
    if (claimed.length !== count) throw new Error(`${claimed.length} of ${count} are claimed`)
    return [delivery.deliveryId, ...claimed]
  }

  sentIds(): number[] {
    return this.sent.map(({ delivery }) => delivery.deliveryId)
  }

  async stop(): Promise<void> {
    if (this.#isStopped) return
    this.#isStopped = true
    await this.#lanes.stop(0)
  }

  /** Counts calls that are not answered yet, and what is claimed. */
  #observed(outbox: Outbox): Outbox {
    const call = async (name: string, args: unknown[]) => {
      this.#calls += 1
      try {
        const method = outbox[name as keyof Outbox] as (...args: unknown[]) => Promise<unknown>
        const answer = await method.apply(outbox, args)
        if (name === 'claim') {
          for (const { deliveryId } of (answer as { deliveries: Delivery[] }).deliveries) this.claimed.add(deliveryId)
        }
        if (name === 'release' || name === 'settle') this.claimed.delete((args[0] as Delivery).deliveryId)
        return answer
      } finally {
        this.#calls -= 1
      }
    }
    return new Proxy(outbox, {
      get:
        (_, name) =>
        (...args: unknown[]) =>
          call(String(name), args),
    })
  }
}
