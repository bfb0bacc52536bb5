import type Database from 'better-sqlite3'
import { RelayError } from '../../domain/errors.ts'
import type { CallState, CallSummary, DeliveryCounts, EventFilter, ListedEvent } from '../operator.ts'
import { eventCondition } from './filter.ts'
import { EVENT } from './summaries.ts'

/** Lists of events and calls with what became of their deliveries. Each is one statement, however many rows it has. */
export interface ListReader {
  events(filter: EventFilter, limit: number, before?: Pick<ListedEvent, 'eventId'>): ListedEvent[]
  calls(filter: EventFilter, limit: number, before?: Pick<CallSummary, 'lastEventId'>): CallSummary[]
}

/** The counts of the deliveries of events that `which` selects; by the indexes on event_seq. */
function counts(which: string): string {
  const finished = ['delivered', 'dead', 'cancelled'].map(
    (state) =>
      `(select count(*) from finished_deliveries f where f.event_seq in (${which}) and f.state = '${state}') as ${state}`,
  )
  return [
    `(select count(*) from live_deliveries l where l.event_seq in (${which})) as pending`,
    `(select count(*) from live_deliveries l where l.event_seq in (${which}) and l.last_error is not null) as failing`,
    ...finished,
  ].join(', ')
}

/** The last of these that a call has an event of is how far it has come. */
const STATES: readonly CallState[] = ['billed', 'ended', 'joined', 'started']

const OF_CALL = 'from events x where x.call_id = c.call_id'
const FIRST = `${OF_CALL} order by x.event_seq limit 1`
const STATE = STATES.map((state) => `when exists (select 1 ${OF_CALL} and x.event = 'call.${state}') then '${state}'`)

// The newest event of each call stands for it, so that a page is read from the newest on and ends when it is full.
const NEWEST = 'not exists (select 1 from events n where n.call_id = c.call_id and n.event_seq > c.event_seq)'

export function createListReader(database: Database.Database): ListReader {
  const selectPlace = database.prepare('select event_seq from events where event_id = ?').pluck()

  /** Throws `not_found` where the event is gone: without it, the list would seem to be at its end. */
  function placeOf(eventId: string | undefined): number {
    if (eventId === undefined) return Number.MAX_SAFE_INTEGER
    const place = selectPlace.get(eventId) as number | undefined
    if (place === undefined) throw new RelayError('not_found', `event ${eventId} was removed while the list was read`)
    return place
  }

  return {
    events(filter, limit, before) {
      const { sql, parameters } = eventCondition(filter)
      const rows = database
        .prepare(`
        select ${EVENT}, ${counts('e.event_seq')}
        from events e
        where e.event_seq < @place and ${sql}
        order by e.event_seq desc
        limit @limit`)
        .all({ ...parameters, limit, place: placeOf(before?.eventId) }) as (Omit<ListedEvent, 'deliveries'> &
        DeliveryCounts)[]
      return rows.map(withCounts)
    },

    calls(filter, limit, before) {
      const { sql, parameters } = eventCondition(filter)
      const rows = database
        .prepare(`
        select c.call_id as callId, c.source,
          (select x.event ${FIRST}) as firstEvent, (select x.received_at ${FIRST}) as firstEventAt,
          c.event_id as lastEventId, c.event as lastEvent, c.received_at as lastEventAt,
          (select count(*) ${OF_CALL}) as events,
          case ${STATE.join(' ')} end as state,
          ${counts(`select x.event_seq ${OF_CALL}`)}
        from events c
        where c.event_seq < @place and c.call_id is not null and ${NEWEST}
          and exists (select 1 from events e where e.call_id = c.call_id and ${sql})
        order by c.event_seq desc
        limit @limit`)
        .all({ ...parameters, limit, place: placeOf(before?.lastEventId) }) as (Omit<CallSummary, 'deliveries'> &
        DeliveryCounts)[]
      return rows.map(withCounts)
    },
  }
}

function withCounts<Row extends DeliveryCounts>(
  row: Row,
): Omit<Row, keyof DeliveryCounts> & { deliveries: DeliveryCounts } {
  const { pending, failing, delivered, dead, cancelled, ...rest } = row
  return { ...rest, deliveries: { pending, failing, delivered, dead, cancelled } }
}
