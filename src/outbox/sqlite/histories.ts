import type Database from 'better-sqlite3'
import type { Attempt } from '../../domain/delivery.ts'
import type { DeliveryHistory, EventHistory } from '../operator.ts'
import { createQueuePlaces } from './queue-places.ts'
import { ATTEMPT, type DeliveryRow, deliverySummary, EVENT, FINISHED, UNFINISHED } from './summaries.ts'

/** What became of events. Synchronous; several statements, so the caller gives the transaction. */
export interface HistoryReader {
  /** One event with its body (null where that is gone), or null where there is none. */
  event(eventId: string): (EventHistory & { readonly body: Uint8Array | null }) | null
  /** A call's events in the order in which they came. */
  call(callId: string): EventHistory[]
  delivery(deliveryId: number): DeliveryHistory | null
  /** The ids of calls that begin so, in their order. */
  callIds(prefix: string, limit: number): string[]
  /** The ids of events that begin so, in their order. */
  eventIds(prefix: string, limit: number): string[]
}

type EventRow = Omit<EventHistory, 'deliveries'> & { readonly eventSeq: number }

/** Sorts after all that may follow a prefix: the last character of Unicode. */
const LAST = '\u{10FFFF}'

export function createHistoryReader(database: Database.Database): HistoryReader {
  const EVENT_ROW = `
    select e.event_seq as eventSeq, ${EVENT}, e.origin, e.content_type as contentType, length(b.body) as bytes,
      substr(e.traceparent, 4, 32) as traceId
    from events e
    left join event_bodies b on b.event_seq = e.event_seq`
  const OF_EVENT = 'where d.event_seq = @eventSeq'
  const OF_DELIVERY = 'where d.delivery_id = @deliveryId'

  const selectAttempts = database.prepare(`
    select ${ATTEMPT}
    from attempts
    where delivery_id = @deliveryId
    order by attempt`)
  const places = createQueuePlaces(database)

  const attempts = (deliveryId: number) => selectAttempts.all({ deliveryId }) as Attempt[]

  function history({ eventSeq, ...event }: EventRow): EventHistory {
    const deliveries = database
      .prepare(`${UNFINISHED} ${OF_EVENT} union all ${FINISHED} ${OF_EVENT} order by deliveryId`)
      .all({ eventSeq }) as DeliveryRow[]
    return { ...event, deliveries: deliveries.map(withHistory) }
  }

  function withHistory(row: DeliveryRow): DeliveryHistory {
    const delivery = deliverySummary(row)
    const { deliveryId, state } = delivery
    return { ...delivery, history: attempts(deliveryId), place: state === 'pending' ? places.of(deliveryId) : null }
  }

  return {
    event(eventId) {
      const row = database.prepare(`${EVENT_ROW} where e.event_id = @eventId`).get({ eventId }) as EventRow | undefined
      if (row === undefined) return null
      const body = database
        .prepare('select body from event_bodies where event_seq = @eventSeq')
        .pluck()
        .get({ eventSeq: row.eventSeq }) as Uint8Array | undefined
      return { ...history(row), body: body ?? null }
    },

    call(callId) {
      const rows = database
        .prepare(`${EVENT_ROW} where e.call_id = @callId order by e.received_at, e.event_seq`)
        .all({ callId }) as EventRow[]
      return rows.map(history)
    },

    delivery(deliveryId) {
      const delivery = database
        .prepare(`${UNFINISHED} ${OF_DELIVERY} union all ${FINISHED} ${OF_DELIVERY}`)
        .get({ deliveryId }) as DeliveryRow | undefined
      return delivery === undefined ? null : withHistory(delivery)
    },

    eventIds: (prefix, limit) =>
      database
        .prepare(
          'select event_id from events where event_id >= @prefix and event_id < @end order by event_id limit @limit',
        )
        .pluck()
        .all({ prefix, end: `${prefix}${LAST}`, limit }) as string[],

    callIds: (prefix, limit) =>
      database
        .prepare(`
        select distinct call_id
        from events
        where call_id >= @prefix and call_id < @end
        order by call_id
        limit @limit`)
        .pluck()
        .all({ prefix, end: `${prefix}${LAST}`, limit }) as string[],
  }
}
