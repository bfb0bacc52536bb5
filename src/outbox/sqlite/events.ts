import type Database from 'better-sqlite3'
import type { NewDelivery } from '../../domain/delivery.ts'
import { bodyHash, type NewEvent } from '../../domain/event.ts'
import type { Recorded } from '../outbox.ts'
import { type CallOrder, callKey } from './call-order.ts'

export interface EventStore {
  /** `ready`: the new deliveries that may go at once. `dueAt`: for an event that is recorded long after it came. */
  record(event: NewEvent, deliveries: readonly NewDelivery[], dueAt?: number): RecordedEvent
}

export interface RecordedEvent extends Pick<Recorded, 'eventId' | 'duplicate'> {
  readonly ready: readonly { readonly target: string; readonly deliveryId: number }[]
}

export function createEventStore(database: Database.Database, order: CallOrder): EventStore {
  const insertEvent = eventInsert(database, 'call_id')
  const insertEventWithoutCall = eventInsert(database, 'body_hash')
  const insertBody = database.prepare('insert into event_bodies (event_seq, body) values (@eventSeq, @body)')
  const insertDelivery = database.prepare(`
    insert into live_deliveries (event_seq, target, call_key, ready, due_at, updated_at)
    values (@eventSeq, @target, @callKey, @ready, @now, @now)`)

  return {
    record(event, deliveries, dueAt = event.receivedAt) {
      const row = { traceparent: null, tracestate: null, ...event }
      const { eventSeq, eventId } = (
        event.callId === null
          ? insertEventWithoutCall.get({ ...row, bodyHash: bodyHash(event.body) })
          : insertEvent.get({ ...row, bodyHash: null })
      ) as { eventSeq: number; eventId: string }
      if (eventId !== event.eventId) return { eventId, duplicate: true, ready: [] }
      insertBody.run({ eventSeq, body: event.body })
      const ready: { target: string; deliveryId: number }[] = []
      for (const { target, ordered } of deliveries) {
        const key = ordered && event.callId !== null ? callKey(event.callId) : null
        const mayGo = key === null || order.mayGo({ target, callKey: key })
        const delivery = { eventSeq, target, callKey: key, ready: mayGo ? 1 : 0, now: dueAt }
        const deliveryId = Number(insertDelivery.run(delivery).lastInsertRowid)
        if (mayGo) ready.push({ target, deliveryId })
      }
      return { eventId, duplicate: false, ready }
    },
  }
}

/**
 * Records an event or, in the same statement, counts a duplicate of the one with the same identity; returns the id of
 * whichever is on record. `identity` is the column that stands for the call in it.
 */
function eventInsert(database: Database.Database, identity: 'call_id' | 'body_hash'): Database.Statement {
  return database.prepare(`
    insert into events
      (event_id, source, event, call_id, body_hash, received_at, origin, content_type, traceparent, tracestate)
    values
      (@eventId, @source, @event, @callId, @bodyHash, @receivedAt, @origin, @contentType, @traceparent, @tracestate)
    on conflict (${identity}, event, source) where ${identity} is not null
      do update set duplicates = duplicates + 1
    returning event_seq as eventSeq, event_id as eventId`)
}
