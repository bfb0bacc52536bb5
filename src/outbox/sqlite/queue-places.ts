import type Database from 'better-sqlite3'
import type { EarlierDelivery, QueuePlace } from '../operator.ts'
import { TALLIED } from '../outbox.ts'
import { schemaOf } from './migrate.ts'
import { THROTTLES_SINCE } from './target-states.ts'

export interface QueuePlaces {
  /** Where a live delivery stands in its target's queue. The caller gives the transaction. */
  of(deliveryId: number): QueuePlace
}

interface LiveRow {
  readonly target: string
  readonly eventSeq: number
  readonly callKey: number | null
  readonly ready: number
  readonly background: number
  readonly dueAt: number
  readonly starts: number
  readonly paused: number | null
  readonly probeAt: number | null
  readonly cooldownMs: number | null
  readonly throttledUntil: number | null
}

export function createQueuePlaces(database: Database.Database): QueuePlaces {
  const selectLive = database.prepare(`
    select d.target, d.event_seq as eventSeq, d.call_key as callKey, d.ready, d.background, d.due_at as dueAt, d.starts,
      s.paused, s.probe_at as probeAt, s.cooldown_ms as cooldownMs,
      ${schemaOf(database) < THROTTLES_SINCE ? 'null' : 's.throttled_until'} as throttledUntil
    from live_deliveries d
    left join target_states s on s.target = d.target
    where d.delivery_id = @deliveryId`)
  const selectHolding = database.prepare(`
    select d.delivery_id as deliveryId, e.event, 'dead' as state, null as dueAt, d.finished_at as updatedAt,
      d.last_error as lastError
    from held_calls h
    join finished_deliveries d on d.delivery_id = h.delivery_id
    join events e on e.event_seq = d.event_seq
    where h.target = @target and h.call_key = @callKey and d.event_seq < @eventSeq
    order by d.event_seq
    limit 1`)
  // The one that goes next is the ready one; the oldest where an attempt that is under way keeps all from being ready.
  const selectNext = database.prepare(`
    select d.delivery_id as deliveryId, e.event, 'pending' as state, d.due_at as dueAt, d.updated_at as updatedAt,
      d.last_error as lastError
    from live_deliveries d
    join events e on e.event_seq = d.event_seq
    where d.target = @target and d.call_key = @callKey and d.delivery_id != @deliveryId
    order by d.ready desc, d.event_seq
    limit 1`)
  // From the index alone. A live delivery goes before a background one, whichever was due first.
  const countAhead = database
    .prepare(`
    select count(*)
    from (
      select 1
      from json_each(@backgrounds) as b
      cross join live_deliveries as d on d.target = @target and d.background = b.value
      where d.ready = 1 and d.due_at <= @dueAt and (d.due_at < @dueAt or d.delivery_id < @deliveryId)
      limit ${TALLIED})`)
    .pluck()

  const liveRow = (deliveryId: number) => selectLive.get({ deliveryId }) as LiveRow
  const ahead = (deliveryId: number, { target, background, dueAt }: LiveRow) =>
    countAhead.get({ target, backgrounds: background === 0 ? '[0]' : '[0, 1]', dueAt, deliveryId }) as number

  function earlier(deliveryId: number, { target, callKey, eventSeq }: LiveRow): EarlierDelivery | null {
    const call = { target, callKey }
    const found = (selectHolding.get({ ...call, eventSeq }) ?? selectNext.get({ ...call, deliveryId })) as
      | Omit<EarlierDelivery, 'ahead' | 'starts'>
      | undefined
    if (found === undefined) return null
    if (found.state === 'dead') return { ...found, ahead: 0, starts: 0 }
    const row = liveRow(found.deliveryId)
    return { ...found, ahead: ahead(found.deliveryId, row), starts: row.starts }
  }

  return {
    of(deliveryId) {
      const row = liveRow(deliveryId)
      const { ready, starts, paused, probeAt, cooldownMs, throttledUntil } = row
      return {
        behind: ready === 1 ? null : earlier(deliveryId, row),
        paused: paused === 1,
        breaker: probeAt === null || cooldownMs === null ? null : { probeAt, cooldownMs },
        throttledUntil,
        ahead: ready === 1 ? ahead(deliveryId, row) : 0,
        starts,
      }
    },
  }
}
