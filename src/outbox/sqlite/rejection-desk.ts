import type Database from 'better-sqlite3'
import type { Admission, Admitted, RejectionFilter, RejectionSummary, StoredRejection } from '../operator.ts'
import { createCallOrder } from './call-order.ts'
import { createEventStore } from './events.ts'
import { allOf, type Condition, jsonOf } from './filter.ts'

/** What an operator does with rejections. Synchronous, in a transaction of the caller's. */
export interface RejectionDesk {
  find(filter: RejectionFilter): number[]
  list(
    filter: RejectionFilter,
    limit: number,
    before?: Pick<RejectionSummary, 'rejectionId' | 'receivedAt'>,
  ): RejectionSummary[]
  read(rejectionIds: readonly number[]): StoredRejection[]
  admit(admissions: readonly Admission[], now: number): Admitted[]
  clear(filter: RejectionFilter): number
}

const SUMMARY = `
  rejection_id as rejectionId, source, received_at as receivedAt, reason, request_id as requestId, peer, bytes, times,
  body is not null as kept`

type SummaryRow = Omit<RejectionSummary, 'kept'> & { readonly kept: 0 | 1 }
type StoredRow = Omit<StoredRejection, 'kept' | 'headers'> & { readonly kept: 0 | 1; readonly headers: string }

export function createRejectionDesk(database: Database.Database): RejectionDesk {
  return {
    find(filter) {
      const { sql, parameters } = rejectionCondition(filter)
      return database
        .prepare(`select rejection_id from rejections where ${sql} order by rejection_id`)
        .pluck()
        .all(parameters) as number[]
    },

    list(filter, limit, before) {
      const { sql, parameters } = rejectionCondition(filter)
      const isBefore = before === undefined ? '' : '(received_at, rejection_id) < (@receivedAt, @rejectionId) and '
      const { receivedAt, rejectionId } = before ?? {}
      // By the time of the last, for one that is sent again and again keeps the id of its first.
      const rows = database
        .prepare(`
        select ${SUMMARY}
        from rejections
        where ${isBefore}${sql}
        order by received_at desc, rejection_id desc
        limit @limit`)
        .all({ ...parameters, limit, receivedAt, rejectionId }) as SummaryRow[]
      return rows.map((row) => ({ ...row, kept: row.kept === 1 }))
    },

    read(rejectionIds) {
      const { sql, parameters } = rejectionCondition({ rejectionIds })
      const rows = database
        .prepare(`
        select ${SUMMARY}, headers, content_type as contentType, body
        from rejections
        where ${sql}
        order by rejection_id`)
        .all(parameters) as StoredRow[]
      return rows.map((row) => ({ ...row, kept: row.kept === 1, headers: JSON.parse(row.headers) }))
    },

    admit(admissions, now) {
      const events = createEventStore(database, createCallOrder(database))
      // Only the one who takes the rejection away records its event.
      const remove = database.prepare('delete from rejections where rejection_id = @rejectionId and body is not null')
      return admissions.flatMap(({ rejectionId, event, deliveries }) => {
        if (remove.run({ rejectionId }).changes === 0) return []
        const { eventId, duplicate } = events.record(event, deliveries, now)
        return [{ rejectionId, eventId, duplicate }]
      })
    },

    clear(filter) {
      const { sql, parameters } = rejectionCondition(filter)
      return database.prepare(`delete from rejections where ${sql}`).run(parameters).changes
    },
  }
}

function rejectionCondition(filter: RejectionFilter): Condition {
  const { kept } = filter
  const rest = allOf([
    ['rejection_id in (select value from json_each(@rejectionIds))', { rejectionIds: jsonOf(filter.rejectionIds) }],
    ['source = @source', { source: filter.source }],
    ['reason = @reason', { reason: filter.reason }],
    ['peer = @peer', { peer: filter.peer }],
    ['received_at >= @since', { since: filter.since }],
    ['received_at < @until', { until: filter.until }],
  ])
  if (kept === undefined) return rest
  return { ...rest, sql: `body is ${kept ? 'not null' : 'null'} and ${rest.sql}` }
}
