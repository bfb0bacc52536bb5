import type { DeliveryFilter, EventFilter } from '../operator.ts'

/** A condition with its named parameters. */
export interface Condition {
  readonly sql: string
  readonly parameters: Readonly<Record<string, unknown>>
}

const HAS_BODY = '(exists (select 1 from event_bodies p where p.event_seq = e.event_seq))'

/** The condition of a filter over `events e`. */
export function eventCondition(filter: EventFilter): Condition {
  return allOf([
    // One parameter however many ids there are.
    ['e.event_id in (select value from json_each(@eventIds))', { eventIds: jsonOf(filter.eventIds) }],
    // The plus keeps SQLite from sorting all events of a source to find the newest few; in their own order it need not.
    ['+e.source = @source', { source: filter.source }],
    ['e.event glob @event', { event: globOf(filter.event) }],
    ['+e.source != @exceptSource', { exceptSource: filter.exceptSource }],
    ['e.call_id = @callId', { callId: filter.callId }],
    ['e.received_at >= @since', { since: filter.since }],
    ['e.received_at < @until', { until: filter.until }],
    [STANDS_SO, { deliveryStates: jsonOf(filter.deliveryStates) }],
    [`(${AT_TARGET}) = @hasAt`, { at: filter.at?.target, hasAt: filter.at && Number(filter.at.has) }],
    [FAILED_AT, { failedAt: filter.failedAt?.target, orFailing: filter.failedAt && Number(filter.failedAt.orFailing) }],
    [
      'e.event_seq > (select a.event_seq from events a where a.event_id = @afterEvent)',
      { afterEvent: filter.afterEvent },
    ],
    [`${HAS_BODY} = @hasBody`, { hasBody: filter.hasBody === undefined ? undefined : Number(filter.hasBody) }],
  ])
}

/** An event's deliveries are looked up by the indexes on event_seq, the live ones and the finished ones apart. */
const STANDS_SO = `exists (
  select 1
  from json_each(@deliveryStates) s
  where case s.value
    when 'pending' then exists (select 1 from live_deliveries l where l.event_seq = e.event_seq)
    when 'none' then
      e.pruned_at is null
      and not exists (select 1 from live_deliveries l where l.event_seq = e.event_seq)
      and not exists (select 1 from finished_deliveries f where f.event_seq = e.event_seq)
    else exists (select 1 from finished_deliveries f where f.event_seq = e.event_seq and f.state = s.value)
  end)`

const AT_TARGET = `
  exists (select 1 from live_deliveries l where l.event_seq = e.event_seq and l.target = @at)
  or exists (select 1 from finished_deliveries f where f.event_seq = e.event_seq and f.target = @at)`

const FAILED_AT = `(
  exists (
    select 1
    from finished_deliveries f
    where f.event_seq = e.event_seq and f.target = @failedAt and f.state = 'dead')
  or @orFailing and exists (
    select 1
    from live_deliveries l
    where l.event_seq = e.event_seq and l.target = @failedAt and l.last_error is not null))`

const HOLDS = `exists (
  select 1
  from held_calls h
  where h.target = d.target and h.call_key = d.call_key and h.delivery_id = d.delivery_id)`

/**
 * The condition of a filter over `events e` and a table of deliveries `d`; the state is not in it. `before`: only deliveries with
 * a lower id.
 */
export function deliveryCondition(filter: DeliveryFilter, before?: number): Condition {
  const event = eventCondition(filter)
  // The plus keeps SQLite from walking all of a target's dead ones to find those that are named: for 500 ids out of many
  // thousands, it would take that index.
  const target = filter.deliveryIds === undefined ? 'd.target' : '+d.target'
  const delivery = allOf([
    ['d.delivery_id in (select value from json_each(@deliveryIds))', { deliveryIds: jsonOf(filter.deliveryIds) }],
    [`${target} = @target`, { target: filter.target }],
    ['d.delivery_id > @afterDelivery', { afterDelivery: filter.afterDelivery }],
    ['d.delivery_id < @before', { before }],
    ['instr(d.last_error, @error) > 0', { error: filter.error }],
    [`(${HOLDS}) = @holding`, { holding: filter.holding === undefined ? undefined : Number(filter.holding) }],
  ])
  return { sql: `${event.sql} and ${delivery.sql}`, parameters: { ...event.parameters, ...delivery.parameters } }
}

/** Those of the conditions whose parameter is given. */
export function allOf(conditions: readonly (readonly [string, Readonly<Record<string, unknown>>])[]): Condition {
  const given = conditions.filter(([, parameters]) => Object.values(parameters).every((value) => value !== undefined))
  return {
    sql: ['true', ...given.map(([sql]) => sql)].join(' and '),
    parameters: Object.assign({}, ...given.map(([, parameters]) => parameters)),
  }
}

/** Several values as one parameter, for `json_each`. */
export function jsonOf(ids: readonly unknown[] | undefined): string | undefined {
  return ids === undefined ? undefined : JSON.stringify(ids)
}

/** An event pattern as SQLite's glob, where `?` and `[` mean something too. */
function globOf(pattern: string | undefined): string | undefined {
  return pattern?.replace(/[?[]/g, '[$&]')
}
