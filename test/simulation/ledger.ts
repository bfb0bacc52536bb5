import type Database from 'better-sqlite3'
import type { Delivery } from '../../src/domain/delivery.ts'
import { INTERRUPTED_TOO_OFTEN } from '../../src/domain/interrupted-starts.ts'
import type { Plan, PlannedTarget } from './plan.ts'
import type { World } from './world.ts'

/** What was promised and what was seen, and whether the one fits the other. Throws `Broken` where it does not. */
export class Ledger {
  /** Ids of the events that were acknowledged, with the targets that each was to go to. */
  readonly acknowledged = new Map<string, readonly string[]>()
  /** The bodies that were sent, by the ids of their events. */
  readonly bodies = new Map<string, string>()
  /** What each target has received, whatever it answered: `target eventId`. */
  readonly received = new Set<string>()
  /** Deliveries that an operator has touched: some promises are theirs to break. */
  readonly touched = new Set<number>()
  /** Events whose calls an operator has erased. */
  readonly erased = new Set<number>()
  /** Calls, at a target, of which an operator has touched a delivery. */
  readonly touchedCalls = new Set<string>()
  /** Targets of which every lane knows that they are paused. */
  readonly paused = new Set<string>()
  /** By id, the lane that has each delivery in hand. */
  readonly #inHand = new Map<number, object>()
  readonly #database: Database.Database
  readonly #plan: Plan
  readonly #world: World
  sent = 0

  constructor(world: World, database: Database.Database, plan: Plan) {
    this.#world = world
    this.#database = database
    this.#plan = plan
  }

  /** An operator decides about a delivery. */
  touch(deliveryId: number): void {
    this.touched.add(deliveryId)
    for (const { call } of this.#all(
      `select target || ' ' || e.call_id as call
       from (select target, event_seq from live_deliveries where delivery_id = ? union all
             select target, event_seq from finished_deliveries where delivery_id = ?) join events e using (event_seq)`,
      deliveryId,
      deliveryId,
    )) {
      this.touchedCalls.add(String(call))
    }
  }

  /** An attempt begins. */
  started(target: PlannedTarget, delivery: Delivery, lane: { sending: number }, isReordered: boolean): void {
    const { deliveryId, event } = delivery
    this.sent += 1
    if (this.#inHand.has(deliveryId)) throw new Broken(`delivery ${deliveryId} is in two hands`)
    this.#inHand.set(deliveryId, lane)
    lane.sending += 1
    if (lane.sending > target.concurrency) throw new Broken(`${target.name} is sent more at once than it takes`)
    if (this.paused.has(target.name)) throw new Broken(`${target.name} is sent something while it is paused`)
    if (delivery.target !== target.name) throw new Broken(`delivery ${deliveryId} goes to ${target.name}`)
    if (Buffer.from(event.body).toString() !== this.bodies.get(event.eventId)) {
      throw new Broken(`delivery ${deliveryId} has not the bytes that were received`)
    }
    if (this.touched.has(deliveryId)) return
    const live = this.#one(
      'select due_at as dueAt, attempts, event_seq as eventSeq from live_deliveries where delivery_id = ?',
      deliveryId,
    )
    if (live === undefined) throw new Broken(`delivery ${deliveryId} is over and is sent all the same`)
    if (live.attempts !== delivery.attempts) throw new Broken(`delivery ${deliveryId} does not know its attempts`)
    if (Number(live.dueAt) > this.#world.now + SLACK_MS && this.#plan.clockJump === 0) {
      throw new Broken(`delivery ${deliveryId} is sent before it is due`)
    }
    const max = target.policy.maxAttempts
    if (max !== null && delivery.roundAttempts >= max) throw new Broken(`delivery ${deliveryId} is tried too often`)
    if (target.ordered && event.callId !== null) {
      this.#inOrder(target, delivery, live.eventSeq!, isReordered)
    }
  }

  ended(delivery: Delivery, lane: { sending: number }): void {
    lane.sending -= 1
    this.#inHand.delete(delivery.deliveryId)
  }

  /** The relay has crashed: nothing is in anybody's hands. */
  crashed(): void {
    this.#inHand.clear()
    this.paused.clear()
  }

  #inOrder(
    { name, holdOnDead }: PlannedTarget,
    { deliveryId, event }: Delivery,
    eventSeq: Row[string],
    isReordered: boolean,
  ): void {
    if (this.touchedCalls.has(`${name} ${event.callId}`)) return
    const before = 'join events e using (event_seq) where d.target = ? and e.call_id = ? and e.event_seq < ?'
    const call = [name, event.callId, eventSeq]
    const older = this.#one(`select delivery_id as id from live_deliveries d ${before}`, ...call)
    if (older !== undefined) throw new Broken(`delivery ${deliveryId} overtakes ${older.id} of its call`)
    const dead = this.#one(
      `select delivery_id as id from finished_deliveries d ${before} and d.state = 'dead'`,
      ...call,
    )
    // What died while it held nothing, holds nothing later.
    if (holdOnDead && !isReordered && dead !== undefined) {
      throw new Broken(`delivery ${deliveryId} is sent though ${dead.id} holds its call`)
    }
  }

  /** When all is over: every promise was kept. */
  close(isPruned: boolean): void {
    const stuck = this.#all('select delivery_id, target from live_deliveries')
    if (stuck.length > 0) throw new Broken(`never ended: ${JSON.stringify(stuck)}`)
    for (const [eventId, targets] of this.acknowledged) {
      const event = this.#one(
        'select event_seq as eventSeq, pruned_at as prunedAt from events where event_id = ?',
        eventId,
      )
      if (event === undefined) throw new Broken(`event ${eventId} was acknowledged and is lost`)
      if (event.prunedAt !== null) {
        if (!isPruned) throw new Broken(`event ${eventId} was pruned, and nobody asked for it`)
        continue
      }
      for (const target of targets) this.#delivered(eventId, Number(event.eventSeq), target)
    }
    for (const { event_id } of this.#all(
      'select event_id from events group by call_id, event having count(*) > 1 and call_id is not null',
    )) {
      throw new Broken(`event ${event_id} is on record twice`)
    }
    for (const row of this.#all(`
      select d.delivery_id from finished_deliveries d
      where d.attempts != (select count(*) from attempts a where a.delivery_id = d.delivery_id)
         or d.attempts != (select coalesce(max(attempt), 0) from attempts a where a.delivery_id = d.delivery_id)`)) {
      throw new Broken(`the attempts of delivery ${row.delivery_id} are not counted right`)
    }
    if (this.#database.pragma('integrity_check', { simple: true }) !== 'ok') throw new Broken('the database is damaged')
  }

  #delivered(eventId: string, eventSeq: number, target: string): void {
    const row = this.#one(
      'select delivery_id as deliveryId, state, attempts from finished_deliveries where event_seq = ? and target = ?',
      eventSeq,
      target,
    )
    if (row === undefined) throw new Broken(`event ${eventId} has no delivery to ${target}`)
    const has = this.received.has(`${target} ${eventId}`)
    if (row.state === 'delivered' && !has) throw new Broken(`${target} never got ${eventId}, which was delivered to it`)
    if (row.state === 'cancelled' && !this.touched.has(Number(row.deliveryId)))
      throw new Broken(`${eventId} was cancelled`)
    if (row.state !== 'dead' || this.touched.has(Number(row.deliveryId))) return
    const { policy, refuses } = this.#plan.targets.find(({ name }) => name === target)!
    const last = this.#one(
      'select outcome, error from attempts where delivery_id = ? order by attempt desc limit 1',
      row.deliveryId,
    )
    const mayDie =
      (last?.outcome === 'refused' && refuses > 0) ||
      last?.error === INTERRUPTED_TOO_OFTEN ||
      policy.giveUpAfterMs !== null ||
      (policy.maxAttempts !== null && Number(row.attempts) >= policy.maxAttempts)
    if (!mayDie) throw new Broken(`${eventId} died at ${target}, and no policy wanted it`)
  }

  #one(sql: string, ...values: unknown[]): Row | undefined {
    return this.#all(sql, ...values)[0]
  }

  #all(sql: string, ...values: unknown[]): Row[] {
    return this.#database.prepare(sql).all(...values) as Row[]
  }
}

type Row = Readonly<Record<string, string | number | null>>

/** The steady clock counts whole milliseconds. */
const SLACK_MS = 1

/** A promise that was not kept. */
export class Broken extends Error {}
