import type Database from 'better-sqlite3'
import type { TargetState } from '../../src/outbox/outbox.ts'
import { createCallOrder } from '../../src/outbox/sqlite/call-order.ts'
import { createErasure } from '../../src/outbox/sqlite/erasure.ts'
import { createRecallStore } from '../../src/outbox/sqlite/recalls.ts'
import { createRedelivery } from '../../src/outbox/sqlite/redelivery.ts'
import { createTargetStateStore } from '../../src/outbox/sqlite/target-states.ts'
import type { Ledger } from './ledger.ts'
import type { PlannedTarget } from './plan.ts'
import type { QueueRules } from './queue-rules.ts'
import type { World } from './world.ts'

export interface OperatorOptions {
  readonly world: World
  readonly database: Database.Database
  readonly ledger: Ledger
  readonly rules: QueueRules
  /** By the configuration that was last written. */
  readonly targets: ReadonlyMap<string, PlannedTarget>
}

/** Somebody who works on the outbox beside the relay. What changes something returns true, and the relay has to notice. */
export function simulatedOperator({ world, database, ledger, rules, targets }: OperatorOptions) {
  const order = createCallOrder(database)
  const redelivery = createRedelivery(database, order)
  const erasure = createErasure(database)
  const { requestRecall } = createRecallStore(database)
  const states = createTargetStateStore(database)
  const now = () => Math.floor(world.now)
  const idsOf = (sql: string) => database.prepare(sql).pluck().all() as number[]
  const paused = () => new Set(states.targetStates().flatMap(({ target, paused }) => (paused ? [target] : [])))

  function transaction(work: () => boolean): boolean {
    return database.transaction(work).immediate()
  }

  function retry(deliveryId: number): boolean {
    // As the command: without its body, a delivery cannot be sent again.
    const hasBody = idsOf(`
      select 1 from event_bodies where event_seq in (
        select event_seq from live_deliveries where delivery_id = ${deliveryId} union all
        select event_seq from finished_deliveries where delivery_id = ${deliveryId})`)
    if (hasBody.length === 0) return false
    const [isFinished] = idsOf(`select 1 from finished_deliveries where delivery_id = ${deliveryId}`)
    const isDone = transaction(() => redelivery.retry(deliveryId, now()))
    if (isDone) rules.revived(deliveryId, isFinished === 1)
    return isDone
  }

  function cancel(deliveryId: number): boolean {
    const isDone = transaction(() => redelivery.cancel(deliveryId, now()))
    if (isDone) rules.cancelled(deliveryId, requestRecall())
    return isDone
  }

  function replay(eventSeq: number): boolean {
    const { name: target, ordered } = world.pick([...targets.values()])
    const idsOfEvent = () =>
      idsOf(`
        select delivery_id from live_deliveries where event_seq = ${eventSeq} union all
        select delivery_id from finished_deliveries where event_seq = ${eventSeq}`)
    const unfinished = new Set(idsOf(`select delivery_id from live_deliveries where event_seq = ${eventSeq}`))
    const isDone = transaction(() => redelivery.deliver(eventSeq, { target, ordered }, now()))
    for (const id of idsOfEvent()) ledger.touch(id)
    for (const id of idsOf(`select delivery_id from live_deliveries where event_seq = ${eventSeq}`)) {
      if (!unfinished.has(id)) rules.revived(id, true)
    }
    return isDone
  }

  /** As `erase --cancel`: everything that is on record of the event's call. */
  function erase(eventSeq: number): boolean {
    const [callId] = database.prepare('select call_id from events where event_seq = ?').pluck().all(eventSeq)
    if (callId === null) return false
    const { eventSeqs } = erasure.findAfter(callId as string, { eventSeq: 0, rejectionId: 0 })
    const unfinished = erasure.unfinishedOf(eventSeqs)
    const list = eventSeqs.join()
    for (const id of idsOf(`
      select delivery_id from live_deliveries where event_seq in (${list}) union all
      select delivery_id from finished_deliveries where event_seq in (${list})`)) {
      ledger.touch(id)
      rules.erased(id)
    }
    database
      .transaction(() => {
        for (const deliveryId of unfinished) erasure.cancel(deliveryId, now())
        for (const seq of eventSeqs) erasure.eraseEvent(seq, now())
      })
      .immediate()
    const recall = requestRecall()
    for (const deliveryId of unfinished) rules.cancelled(deliveryId, recall)
    return true
  }

  return {
    /** Retries, cancels, delivers again or erases whatever there is, what is under way more often than not. */
    decide(): boolean {
      const underWay = rules.underWayIds()
      const ids =
        underWay.length > 0 && world.chance(0.6)
          ? underWay
          : idsOf(`
            select delivery_id from live_deliveries union all select delivery_id from finished_deliveries order by 1`)
      if (ids.length === 0) return false
      const deliveryId = world.pick(ids)
      ledger.touch(deliveryId)
      const what = world.pick(['retry', 'cancel', 'cancel and retry', 'replay', 'replay all', 'erase'] as const)
      world.note(`operator: ${what} ${deliveryId}`)
      if (what === 'retry') return retry(deliveryId)
      if (what === 'cancel') return cancel(deliveryId)
      if (what === 'cancel and retry') return cancel(deliveryId) && retry(deliveryId)
      if (what === 'replay all') {
        return idsOf('select event_seq from events order by 1').map(replay).includes(true)
      }
      const [eventSeq] = idsOf(`
        select event_seq from live_deliveries where delivery_id = ${deliveryId} union all
        select event_seq from finished_deliveries where delivery_id = ${deliveryId}`)
      if (eventSeq === undefined) return false
      return what === 'replay' ? replay(eventSeq) : erase(eventSeq)
    },

    pauseOrResume(): boolean {
      const { name } = world.pick([...targets.values()])
      const isPaused = paused().has(name)
      world.note(`operator: ${isPaused ? 'resume' : 'pause'} ${name}`)
      ledger.paused.delete(name)
      states.setPaused(name, !isPaused, now())
      rules.paused(name, !isPaused)
      return true
    },

    resumeAll(): boolean {
      ledger.paused.clear()
      for (const target of paused()) {
        states.setPaused(target, false, now())
        rules.paused(target, false)
      }
      return true
    },

    /** Cancels what is dead and holds its call. */
    letGo(): boolean {
      const held = database.prepare('select delivery_id as deliveryId, target from held_calls').all() as HeldCall[]
      return held
        .filter(({ target }) => targets.get(target)?.ordered === true && targets.get(target)?.holdOnDead === true)
        .map(({ deliveryId }) => {
          ledger.touch(deliveryId)
          return cancel(deliveryId)
        })
        .includes(true)
    },

    /** The relay has learnt this of the targets. What was paused then, and still is, gets nothing from now on. */
    noticed(states: readonly TargetState[]): void {
      const now = paused()
      for (const state of states) if (state.paused && now.has(state.target)) ledger.paused.add(state.target)
    },
  }
}

interface HeldCall {
  readonly deliveryId: number
  readonly target: string
}
