import type Database from 'better-sqlite3'
import type { NewDelivery } from '../../domain/delivery.ts'
import { type CallOrder, callKey } from './call-order.ts'
import { createUrgency } from './urgency.ts'

/** What an operator can do to single deliveries. Synchronous, in a transaction of the caller's. */
export interface Redelivery {
  /** Has a delivery tried anew. False where there is none. */
  retry(deliveryId: number, now: number): boolean
  /** Gives a pending or dead delivery up. False where there is none in these states. */
  cancel(deliveryId: number, now: number): boolean
  /** Delivers an event on record to a target. False if a delivery of it is pending there, or its body is gone. */
  deliver(eventSeq: number, delivery: NewDelivery, now: number): boolean
}

interface EndedDelivery {
  readonly deliveryId: number
  readonly eventSeq: number
  readonly target: string
  readonly callKey: number | null
  readonly state: 'delivered' | 'dead' | 'cancelled'
  readonly attempts: number
  readonly round: number
  readonly lastStatus: number | null
  readonly lastError: string | null
}

export function createRedelivery(database: Database.Database, order: CallOrder): Redelivery {
  const urgency = createUrgency(database)
  const removeFinished = database.prepare(`
    delete from finished_deliveries
    where delivery_id = @deliveryId
    returning delivery_id as deliveryId, event_seq as eventSeq, target, call_key as callKey, state, attempts, round,
      last_status as lastStatus, last_error as lastError`)
  const revive = database.prepare(`
    insert into live_deliveries
      (delivery_id, event_seq, target, call_key, ready, attempts, round, due_at, updated_at, last_status, last_error,
        background)
    values
      (@deliveryId, @eventSeq, @target, @callKey, @ready, @attempts, @round + 1, @now, @now, @lastStatus, @lastError,
        @background)`)
  // The round stays: an attempt that is under way may still settle it.
  const hasten = database.prepare(`
    update live_deliveries
    set due_at = @now, round_attempts = 0, first_attempt_at = null, updated_at = @now
    where delivery_id = @deliveryId`)
  const removeLive = database.prepare(`
    delete from live_deliveries
    where delivery_id = @deliveryId
    returning event_seq as eventSeq, target, call_key as callKey, attempts, round, last_status as lastStatus,
      last_error as lastError`)
  const insertCancelled = database.prepare(`
    insert into finished_deliveries
      (delivery_id, event_seq, target, call_key, state, attempts, round, finished_at, last_status, last_error)
    values (@deliveryId, @eventSeq, @target, @callKey, 'cancelled', @attempts, @round, @now, @lastStatus, @lastError)`)
  const cancelDead = database.prepare(`
    update finished_deliveries
    set state = 'cancelled', finished_at = @now
    where delivery_id = @deliveryId and state = 'dead'
    returning target, call_key as callKey`)
  const liveAt = database.prepare(`
    select 1 from live_deliveries where event_seq = @eventSeq and target = @target limit 1`)
  const finishedAt = database
    .prepare(`
    select delivery_id
    from finished_deliveries
    where event_seq = @eventSeq and target = @target
    order by delivery_id desc
    limit 1`)
    .pluck()
  const bodyOf = database.prepare('select 1 from event_bodies where event_seq = @eventSeq')
  const callIdOf = database.prepare('select call_id from events where event_seq = @eventSeq').pluck()
  const insertLive = database.prepare(`
    insert into live_deliveries (event_seq, target, call_key, ready, due_at, updated_at, background)
    values (@eventSeq, @target, @callKey, @ready, @now, @now, @background)`)

  function backgroundOf(target: string, key: number | null): 0 | 1 {
    return urgency.backgroundOf(key === null ? null : { target, callKey: key })
  }

  function retry(deliveryId: number, now: number): boolean {
    const ended = removeFinished.get({ deliveryId }) as EndedDelivery | undefined
    if (ended === undefined) return hasten.run({ deliveryId, now }).changes > 0
    const { state: _, ...row } = ended
    const background = backgroundOf(row.target, row.callKey)
    revive.run({ ...row, ready: row.callKey === null ? 1 : 0, now, background })
    decided(deliveryId, row)
    return true
  }

  /** An operator has decided about a delivery: if it held its call back, it does so no more. */
  function decided(deliveryId: number, { target, callKey: key }: Pick<EndedDelivery, 'target' | 'callKey'>): void {
    if (key === null) return
    const call = { target, callKey: key }
    order.letGo(call, deliveryId)
    order.promote(call)
  }

  return {
    retry,

    cancel(deliveryId, now) {
      const live = removeLive.get({ deliveryId }) as Omit<EndedDelivery, 'deliveryId' | 'state'> | undefined
      if (live !== undefined) insertCancelled.run({ ...live, deliveryId, now })
      const ended =
        live ?? (cancelDead.get({ deliveryId, now }) as Pick<EndedDelivery, 'target' | 'callKey'> | undefined)
      if (ended === undefined) return false
      decided(deliveryId, ended)
      return true
    },

    deliver(eventSeq, { target, ordered }, now) {
      if (bodyOf.get({ eventSeq }) === undefined || liveAt.get({ eventSeq, target }) !== undefined) return false
      const finished = finishedAt.get({ eventSeq, target }) as number | undefined
      if (finished !== undefined) return retry(finished, now)
      const callId = callIdOf.get({ eventSeq }) as string | null
      const key = ordered && callId !== null ? callKey(callId) : null
      const background = backgroundOf(target, key)
      insertLive.run({ eventSeq, target, callKey: key, ready: key === null ? 1 : 0, now, background })
      if (key !== null) order.promote({ target, callKey: key })
      return true
    },
  }
}
