import type { DeliverySummary } from '../operator.ts'

/** What listings select, as an operator sees it: the columns of `DeliverySummary` and `EventSummary`. */
const DELIVERY = `
  d.delivery_id as deliveryId, e.event_id as eventId, e.event, e.call_id as callId, d.target, d.attempts,
  d.last_status as lastStatus, d.last_error as lastError`

export const UNFINISHED = `
  select ${DELIVERY}, 'pending' as state, d.ready = 0 as waiting, d.due_at as dueAt, d.updated_at as updatedAt
  from live_deliveries d
  join events e on e.event_seq = d.event_seq`

export const FINISHED = `
  select ${DELIVERY}, d.state, false as waiting, null as dueAt, d.finished_at as updatedAt
  from finished_deliveries d
  join events e on e.event_seq = d.event_seq`

/** A row of either, for SQLite has no booleans. */
export type DeliveryRow = Omit<DeliverySummary, 'waiting'> & { readonly waiting: 0 | 1 }

export function deliverySummary({ waiting, ...row }: DeliveryRow): DeliverySummary {
  return { ...row, waiting: waiting === 1 }
}

export const EVENT = `
  e.event_id as eventId, e.source, e.event, e.call_id as callId, e.received_at as receivedAt, e.duplicates,
  e.pruned_at as prunedAt`

export const ATTEMPT = `
  attempt, started_at as startedAt, duration_ms as durationMs, outcome, status, error, response, note`
