import type Database from 'better-sqlite3'
import type { Attempt, DeliveredEvent, Delivery, Settlement } from '../../domain/delivery.ts'
import { bodyHash, type NewEvent } from '../../domain/event.ts'
import type { Recorded, Rejection } from '../outbox.ts'
import { createRejectionStore } from './rejections.ts'

/**
 * What the outbox does to its tables, synchronously and without transactions of its own: the batch that calls these
 * gives the transaction. Nothing here knows of leases.
 */
export interface Store {
  record(event: NewEvent, targets: readonly string[]): Recorded
  reject(rejection: Rejection): void
  settle(delivery: Delivery, attempt: Attempt, settlement: Settlement): boolean
  /** Ids of due deliveries, oldest due first. */
  dueIds(target: string, limit: number, now: number): number[]
  /** When the first delivery that is due after `now` falls due, or null. */
  nextDueAt(target: string, now: number): number | null
  /** A live delivery with its event. */
  delivery(deliveryId: number): Delivery
}

type DeliveryRow = Omit<Delivery, 'event'> & DeliveredEvent

export function createStore(database: Database.Database): Store {
  const insertEvent = eventInsert(database, 'call_id')
  const insertEventWithoutCall = eventInsert(database, 'body_hash')
  const insertBody = database.prepare('insert into event_bodies (event_seq, body) values (@eventSeq, @body)')
  const insertDelivery = database.prepare(`
    insert into live_deliveries (event_seq, target, due_at, updated_at)
    values (@eventSeq, @target, @now, @now)`)
  const insertAttempt = database.prepare(`
    insert into attempts (delivery_id, attempt, started_at, duration_ms, outcome, status, error, response)
    values (@deliveryId, @attempt, @startedAt, @durationMs, @outcome, @status, @error, @response)`)
  // Both are fenced by the number of attempts: it is what was leased, or it is left alone.
  const postpone = database.prepare(`
    update live_deliveries
    set attempts = @attempt,
        first_attempt_at = coalesce(first_attempt_at, @startedAt),
        due_at = @dueAt,
        updated_at = @endedAt,
        last_status = @status,
        last_error = @error
    where delivery_id = @deliveryId and attempts = @attempt - 1`)
  const removeLive = database.prepare(`
    delete from live_deliveries
    where delivery_id = @deliveryId and attempts = @attempt - 1
    returning event_seq as eventSeq`)
  const insertFinished = database.prepare(`
    insert into finished_deliveries
      (delivery_id, event_seq, target, state, attempts, finished_at, last_status, last_error)
    values (@deliveryId, @eventSeq, @target, @state, @attempt, @endedAt, @status, @error)`)
  // Reads the index alone; live_deliveries_by_due ends with the delivery id, as every index does.
  const dueIds = database
    .prepare(`
    select delivery_id
    from live_deliveries
    where target = @target and due_at <= @now
    order by due_at, delivery_id
    limit @limit`)
    .pluck()
  const nextDue = database
    .prepare(`
    select due_at
    from live_deliveries
    where target = @target and due_at > @now
    order by due_at
    limit 1`)
    .pluck()
  const selectDelivery = database.prepare(`
    select
      d.delivery_id as deliveryId, d.target, d.attempts, d.first_attempt_at as firstAttemptAt,
      e.event_id as eventId, e.source, e.event, e.call_id as callId, e.received_at as receivedAt,
      e.content_type as contentType, b.body
    from live_deliveries d
    join events e on e.event_seq = d.event_seq
    join event_bodies b on b.event_seq = d.event_seq
    where d.delivery_id = @deliveryId`)

  return {
    record(event, targets) {
      const { eventSeq, eventId } = (
        event.callId === null
          ? insertEventWithoutCall.get({ ...event, bodyHash: bodyHash(event.body) })
          : insertEvent.get({ ...event, bodyHash: null })
      ) as { eventSeq: number; eventId: string }
      if (eventId !== event.eventId) return { eventId, duplicate: true }
      insertBody.run({ eventSeq, body: event.body })
      for (const target of targets) insertDelivery.run({ eventSeq, target, now: event.receivedAt })
      return { eventId, duplicate: false }
    },

    ...createRejectionStore(database),

    settle(delivery, attempt, settlement) {
      const row = {
        ...attempt,
        deliveryId: delivery.deliveryId,
        target: delivery.target,
        endedAt: attempt.startedAt + attempt.durationMs,
      }
      if (settlement.state === 'pending') {
        if (postpone.run({ ...row, dueAt: settlement.dueAt }).changes === 0) return false
      } else {
        const live = removeLive.get(row) as { eventSeq: number } | undefined
        if (live === undefined) return false
        insertFinished.run({ ...row, eventSeq: live.eventSeq, state: settlement.state })
      }
      insertAttempt.run(row)
      return true
    },

    dueIds: (target, limit, now) => dueIds.all({ target, limit, now }) as number[],

    nextDueAt: (target, now) => (nextDue.get({ target, now }) as number | undefined) ?? null,

    delivery(deliveryId) {
      const {
        deliveryId: id,
        target,
        attempts,
        firstAttemptAt,
        ...event
      } = selectDelivery.get({
        deliveryId,
      }) as DeliveryRow
      return { deliveryId: id, target, attempts, firstAttemptAt, event }
    },
  }
}

/**
 * Records an event or, in the same statement, counts a duplicate of the one with the same identity; returns the id of
 * whichever is on record. `identity` is the column that stands for the call in it.
 */
function eventInsert(database: Database.Database, identity: 'call_id' | 'body_hash'): Database.Statement {
  return database.prepare(`
    insert into events (event_id, source, event, call_id, body_hash, received_at, origin, content_type)
    values (@eventId, @source, @event, @callId, @bodyHash, @receivedAt, @origin, @contentType)
    on conflict (${identity}, event, source) where ${identity} is not null
      do update set duplicates = duplicates + 1
    returning event_seq as eventSeq, event_id as eventId`)
}
