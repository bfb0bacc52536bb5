import type Database from 'better-sqlite3'
import type { CallState, CallSummary, DeliveryCounts, EventFilter, ListedEvent } from '../operator.ts'
import { eventCondition } from './filter.ts'
import { EVENT } from './summaries.ts'

/** Lists of events and calls with what became of their deliveries. Each is one statement, however many rows it has. */
export interface ListReader {
  events(filter: EventFilter, limit: number): ListedEvent[]
  calls(filter: EventFilter, limit: number): CallSummary[]
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
const FIRST = `${OF_CALL} order by x.received_at, x.event_seq limit 1`
const LAST = `${OF_CALL} order by x.received_at desc, x.event_seq desc limit 1`
const STATE = STATES.map((state) => `when exists (select 1 ${OF_CALL} and x.event = 'call.${state}') then '${state}'`)

// The newest event of each call stands for it, so that a page is read from the newest on and ends when it is full.
const NEWEST = 'not exists (select 1 from events n where n.call_id = c.call_id and n.event_seq > c.event_seq)'

export function createListReader(database: Database.Database): ListReader {
  return {
    events(filter, limit) {
      const { sql, parameters } = eventCondition(filter)
      const rows = database
        .prepare(`
        select ${EVENT}, ${counts('e.event_seq')}
        from events e
        where ${sql}
        order by e.event_seq desc
        limit @limit`)
        .all({ ...parameters, limit }) as (Omit<ListedEvent, 'deliveries'> & DeliveryCounts)[]
      return rows.map(withCounts)
    },

    calls(filter, limit) {
      const { sql, parameters } = eventCondition(filter)
      const rows = database
        .prepare(`
        select c.call_id as callId, c.source,
          (select x.event ${FIRST}) as firstEvent, (select x.received_at ${FIRST}) as firstEventAt,
          (select x.event ${LAST}) as lastEvent, (select x.received_at ${LAST}) as lastEventAt,
          (select count(*) ${OF_CALL}) as events,
          case ${STATE.join(' ')} end as state,
          ${counts(`select x.event_seq ${OF_CALL}`)}
        from events c
        where c.call_id is not null and ${NEWEST}
          and exists (select 1 from events e where e.call_id = c.call_id and ${sql})
        order by c.event_seq desc
        limit @limit`)
        .all({ ...parameters, limit }) as (Omit<CallSummary, 'deliveries'> & DeliveryCounts)[]
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
