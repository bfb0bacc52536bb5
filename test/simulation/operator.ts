import type Database from 'better-sqlite3'
import type { TargetState } from '../../src/outbox/outbox.ts'
import { createCallOrder } from '../../src/outbox/sqlite/call-order.ts'
import { createRedelivery } from '../../src/outbox/sqlite/redelivery.ts'
import { createTargetStateStore } from '../../src/outbox/sqlite/target-states.ts'
import type { Ledger } from './ledger.ts'
import type { Plan } from './plan.ts'
import type { World } from './world.ts'

/** Somebody who works on the outbox beside the relay. What changes something returns true, and the relay has to notice. */
export function simulatedOperator(world: World, database: Database.Database, plan: Plan, ledger: Ledger) {
  const redelivery = createRedelivery(database, createCallOrder(database))
  const states = createTargetStateStore(database)
  const now = () => Math.floor(world.now)
  const idsOf = (sql: string) => database.prepare(sql).pluck().all() as number[]
  const paused = () => new Set(states.targetStates().flatMap(({ target, paused }) => (paused ? [target] : [])))

  function transaction(work: () => boolean): boolean {
    return database.transaction(work).immediate()
  }

  return {
    /** Retries, cancels or delivers again whatever there is. */
    decide(): boolean {
      const ids = idsOf(
        `select delivery_id from live_deliveries union all select delivery_id from finished_deliveries order by 1`,
      )
      if (ids.length === 0) return false
      const deliveryId = world.pick(ids)
      ledger.touch(deliveryId)
      const what = world.pick(['retry', 'cancel', 'replay'] as const)
      world.note(`operator: ${what} ${deliveryId}`)
      if (what === 'retry') return transaction(() => redelivery.retry(deliveryId, now()))
      if (what === 'cancel') return transaction(() => redelivery.cancel(deliveryId, now()))
      const [eventSeq] = database
        .prepare(`
          select event_seq from live_deliveries where delivery_id = @deliveryId union all
          select event_seq from finished_deliveries where delivery_id = @deliveryId`)
        .pluck()
        .all({ deliveryId }) as number[]
      const { name: target, ordered } = world.pick(plan.targets)
      return transaction(() => {
        const isNew = redelivery.deliver(eventSeq!, { target, ordered }, now())
        for (const id of idsOf(`
          select delivery_id from live_deliveries where event_seq = ${eventSeq} union all
          select delivery_id from finished_deliveries where event_seq = ${eventSeq}`)) {
          ledger.touch(id)
        }
        return isNew
      })
    },

    pauseOrResume(): boolean {
      const { name } = world.pick(plan.targets)
      const isPaused = paused().has(name)
      world.note(`operator: ${isPaused ? 'resume' : 'pause'} ${name}`)
      ledger.paused.delete(name)
      states.setPaused(name, !isPaused, now())
      return true
    },

    resumeAll(): boolean {
      ledger.paused.clear()
      for (const target of paused()) states.setPaused(target, false, now())
      return true
    },

    /** Cancels what is dead and holds its call back. */
    letGo(): boolean {
      const held = idsOf('select delivery_id from held_calls')
      return held
        .map((deliveryId) => {
          ledger.touch(deliveryId)
          return transaction(() => redelivery.cancel(deliveryId, now()))
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
