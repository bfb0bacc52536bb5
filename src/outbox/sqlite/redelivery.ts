import type Database from 'better-sqlite3'
import type { NewDelivery } from '../../domain/delivery.ts'
import type { CallOrder } from './call-order.ts'

/** What an operator can do to single deliveries. Synchronous, in a transaction of the caller's. */
export interface Redelivery {
  /** Has a delivery tried anew. False where there is none. */
  retry(deliveryId: number, now: number): boolean
  /** Gives a pending or dead delivery up. False where there is none in these states. */
  cancel(deliveryId: number, now: number): boolean
  /**
   * Moves a pending or dead delivery to another target, due now and with a fresh budget; its attempts stay with it. False where
   * there is none in these states, its body is gone, or the other target has a delivery of the event already.
   */
  move(deliveryId: number, to: NewDelivery, now: number): boolean
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

interface MovableDelivery extends Pick<EndedDelivery, 'eventSeq' | 'target' | 'callKey'> {
  readonly isLive: 0 | 1
}

export function createRedelivery(database: Database.Database, order: CallOrder): Redelivery {
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
        1)`)
  // A new round: an attempt that is under way belongs to the one before.
  const hasten = database.prepare(`
    update live_deliveries
    set due_at = @now, round = round + 1, round_attempts = 0, first_attempt_at = null, starts = 0, timeouts = 0, throttled_attempts = 0,
      updated_at = @now
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
  const selectCallId = database.prepare('select call_id from events where event_seq = @eventSeq').pluck()
  const insertLive = database.prepare(`
    insert into live_deliveries (event_seq, target, call_key, ready, due_at, updated_at, background)
    values (@eventSeq, @target, @callKey, @ready, @now, @now, 1)`)

  const movable = database.prepare(`
    select event_seq as eventSeq, target, call_key as callKey, 1 as isLive
    from live_deliveries
    where delivery_id = @deliveryId
    union all
    select event_seq, target, call_key, 0
    from finished_deliveries
    where delivery_id = @deliveryId and state = 'dead'`)
  // A new round, as of a retry: an attempt at the former target may be under way. Its error says nothing about the new target.
  const retarget = database.prepare(`
    update live_deliveries
    set target = @target, call_key = @callKey, ready = @ready, due_at = @now, updated_at = @now, round = round + 1,
      round_attempts = 0, first_attempt_at = null, stopped_ms = 0, timeouts = 0, starts = 0, background = 1,
      last_status = null, last_error = null
    where delivery_id = @deliveryId`)

  const callIdOf = (eventSeq: number) => (selectCallId.get({ eventSeq }) as string | null | undefined) ?? null

  function retry(deliveryId: number, now: number): boolean {
    const ended = removeFinished.get({ deliveryId }) as EndedDelivery | undefined
    if (ended === undefined) return hasten.run({ deliveryId, now }).changes > 0
    const { state: _, ...row } = ended
    const { eventSeq, target } = row
    // Ordered as the target is today, whatever it was then.
    const key = order.keyOf(target, callIdOf(eventSeq), row.callKey !== null)
    revive.run({ ...row, callKey: key, ready: key === null ? 1 : 0, now })
    decided(deliveryId, row)
    if (key !== null) order.reorder({ target, callKey: key })
    return true
  }

  /** An operator has decided about a delivery: it no longer holds its call. */
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

    move(deliveryId, { target, ordered }, now) {
      const former = movable.get({ deliveryId }) as MovableDelivery | undefined
      if (former === undefined || former.target === target) return false
      const { eventSeq } = former
      if (bodyOf.get({ eventSeq }) === undefined) return false
      if (liveAt.get({ eventSeq, target }) !== undefined || finishedAt.get({ eventSeq, target }) !== undefined)
        return false
      const key = order.keyOf(target, callIdOf(eventSeq), ordered)
      const place = { deliveryId, target, callKey: key, ready: key === null ? 1 : 0, now }
      if (former.isLive === 0) revive.run({ ...(removeFinished.get({ deliveryId }) as EndedDelivery), ...place })
      retarget.run(place)
      decided(deliveryId, former)
      if (key !== null) order.reorder({ target, callKey: key })
      return true
    },

    deliver(eventSeq, { target, ordered }, now) {
      if (bodyOf.get({ eventSeq }) === undefined || liveAt.get({ eventSeq, target }) !== undefined) return false
      const finished = finishedAt.get({ eventSeq, target }) as number | undefined
      if (finished !== undefined) return retry(finished, now)
      const key = order.keyOf(target, callIdOf(eventSeq), ordered)
      insertLive.run({ eventSeq, target, callKey: key, ready: key === null ? 1 : 0, now })
      if (key !== null) order.reorder({ target, callKey: key })
      return true
    },
  }
}
