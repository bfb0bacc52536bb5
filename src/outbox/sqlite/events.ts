import type Database from 'better-sqlite3'
import type { NewDelivery } from '../../domain/delivery.ts'
import { bodyHash, type NewEvent } from '../../domain/event.ts'
import type { NewestEvent, Recorded } from '../outbox.ts'
import type { CallOrder } from './call-order.ts'

export interface EventStore {
  /**
   * `ready`: deliveries of a new event that need not wait for others of their call. `lateAt`: when it is recorded, for an event
   * that came long before.
   */
  record(event: NewEvent, deliveries: readonly NewDelivery[], lateAt?: number): RecordedEvent
  newestEvents(source: string, names: readonly string[], limit: number): NewestEvent[]
}

export interface RecordedEvent extends Omit<Recorded, 'leased'> {
  readonly ready: readonly ReadyDelivery[]
}

interface ReadyDelivery {
  readonly target: string
  readonly deliveryId: number
  /** Whether it is part of an ordered call. */
  readonly ordered: boolean
}

/** Values are bound by position here and in deliveries.ts: by name, ten of them took 2 µs more, and the statement itself 3. */
export function createEventStore(database: Database.Database, order: CallOrder): EventStore {
  const insertEvent = eventInsert(database, 'call_id')
  const insertEventWithoutCall = eventInsert(database, 'body_hash')
  const insertBody = database.prepare('insert into event_bodies (event_seq, body) values (?, ?)')
  const insertDelivery = database.prepare(`
    insert into live_deliveries (event_seq, target, call_key, ready, due_at, updated_at, background)
    values (?, ?, ?, ?, ?, ?, ?)`)
  const targetsOf = database
    .prepare(`
    select target from live_deliveries where event_seq = @eventSeq
    union
    select target from finished_deliveries where event_seq = @eventSeq`)
    .pluck()

  /** Adds deliveries of an event that is on record; returns those that may go at once. */
  function deliver(
    eventSeq: number,
    callId: string | null,
    deliveries: readonly NewDelivery[],
    dueAt: number,
    isLive: boolean,
  ): ReadyDelivery[] {
    const ready: ReadyDelivery[] = []
    for (const { target, ordered } of deliveries) {
      const key = order.keyOf(target, callId, ordered)
      const mayGo = key === null || order.mayGo({ target, callKey: key })
      const background = isLive ? 0 : 1
      const { lastInsertRowid } = insertDelivery.run(eventSeq, target, key, mayGo ? 1 : 0, dueAt, dueAt, background)
      if (key !== null && !mayGo) order.alignUrgency({ target, callKey: key })
      if (mayGo) ready.push({ target, deliveryId: Number(lastInsertRowid), ordered: key !== null })
    }
    return ready
  }

  const hasBody = database.prepare(`
    select 1
    from events e
    join event_bodies b on b.event_seq = e.event_seq
    where e.event_id = @eventId`)

  function bodyOf({ body, quotes }: NewEvent): Uint8Array {
    return quotes === undefined || hasBody.get({ eventId: quotes.eventId }) !== undefined ? body : quotes.erasedBody
  }

  // by events_by_source
  const selectNewest = database.prepare(`
    select e.event, coalesce(b.body, x'') as body
    from events e
    left join event_bodies b on b.event_seq = e.event_seq
    where e.source = @source and e.event in (select value from json_each(@names))
    order by e.received_at desc, e.event_seq desc
    limit @limit`)

  return {
    record(event, deliveries, lateAt) {
      const { callId } = event
      const body = bodyOf(event)
      const dueAt = lateAt ?? event.receivedAt
      const isLive = event.origin !== 'reconcile' && lateAt === undefined
      const insert = callId === null ? insertEventWithoutCall : insertEvent
      const { eventSeq, eventId, source, pruned } = insert.get(
        event.eventId,
        event.source,
        event.account ?? event.source,
        event.event,
        callId,
        callId === null ? bodyHash(body) : null,
        event.receivedAt,
        event.origin,
        event.contentType,
        event.traceparent ?? null,
        event.tracestate ?? null,
        event.via ?? null,
      ) as { eventSeq: number; eventId: string; source: string; pruned: 0 | 1 }
      if (eventId === event.eventId) {
        insertBody.run(eventSeq, body)
        const ready = deliver(eventSeq, callId, deliveries, dueAt, isLive)
        return { eventId, duplicate: false, targets: deliveries.map(({ target }) => target), ready }
      }
      if (source === event.source || pruned === 1) return { eventId, duplicate: true, targets: [], ready: [] }
      // Routes may match by source: a target that only this source leads to must not miss the event.
      const covered = new Set(targetsOf.all({ eventSeq }) as string[])
      const added = deliveries.filter(({ target }) => !covered.has(target))
      deliver(eventSeq, callId, added, dueAt, isLive)
      // The event may be older than others of its call that wait for these targets.
      for (const { target, ordered } of added) {
        const key = order.keyOf(target, callId, ordered)
        if (key !== null) order.reorder({ target, callKey: key })
      }
      // Not handed over as leased: what the lane would send has to be read from the event on record.
      return { eventId, duplicate: true, targets: added.map(({ target }) => target), ready: [] }
    },
    newestEvents(source, names, limit) {
      return (selectNewest.all({ source, names: JSON.stringify(names), limit }) as NewestEvent[]).reverse()
    },
  }
}

/**
 * Records an event or, in the same statement, counts a duplicate of the one with the same identity; returns what is on
 * record. `identity` is the column that stands for the call in it.
 */
function eventInsert(database: Database.Database, identity: 'call_id' | 'body_hash'): Database.Statement {
  return database.prepare(`
    insert into events
      (event_id, source, account, event, call_id, body_hash, received_at, origin, content_type, traceparent, tracestate,
        via)
    values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    on conflict (${identity}, event, account) where ${identity} is not null
      do update set duplicates = duplicates + 1
    returning event_seq as eventSeq, event_id as eventId, source, pruned_at is not null as pruned`)
}
