import type Database from 'better-sqlite3'
import { NO_DELIVERIES, type Probe, type TargetError, type TargetSummary } from '../operator.ts'
import type { SavedThrottle } from '../outbox.ts'
import { createTargetStateStore } from './target-states.ts'

const LATELY_MS = 5 * 60_000
/** How far back timeouts are counted, and among how many attempts: that takes a millisecond, however many there are. */
const TIMEOUTS_MS = 60 * 60_000
export const READ_FOR_TIMEOUTS = 1_000

interface Counts
  extends Omit<TargetSummary, 'paused' | 'breaker' | 'throttle' | 'timedOut' | 'deliveredPerMinute' | 'lastError'> {
  readonly delivered: number
}

/** Every target with deliveries that have not gone well or only just have, or with a state; by name. */
export function targetSummaries(database: Database.Database, now: number): TargetSummary[] {
  /** Undefined where there is no throttle. */
  const isOver = (throttle: SavedThrottle | null) => (throttle === null ? undefined : throttle.until <= now)
  const states = new Map(
    createTargetStateStore(database)
      .targetStates()
      // The others have their settings on record, no more.
      .filter(({ paused, breaker, throttle }) => paused || breaker !== null || isOver(throttle) === false)
      .map((state) => [state.target, isOver(state.throttle) ? { ...state, throttle: null } : state]),
  )
  const counts = new Map(
    (database.prepare(TARGET_COUNTS).all({ now, since: now - LATELY_MS }) as Counts[]).map((row) => [row.target, row]),
  )
  const timedOut = new Map(
    (database.prepare(TIMED_OUT).all({ since: now - TIMEOUTS_MS }) as { target: string; count: number }[]).map(
      ({ target, count }) => [target, count],
    ),
  )
  const lastError = database.prepare(LAST_ERROR)
  const lastAttempt = database.prepare(LAST_ATTEMPT)
  const probe = (deliveryId: number): Probe => {
    const found = lastAttempt.get({ deliveryId }) as Omit<Probe, 'deliveryId'> | undefined
    return { deliveryId, ...(found ?? { eventId: null, startedAt: null, status: null, error: null }) }
  }
  return [...new Set([...states.keys(), ...counts.keys()])].sort().map((target) => {
    const { delivered, ...counted } = counts.get(target) ?? { ...NO_DELIVERIES, delivered: 0, target }
    const state = states.get(target) ?? { paused: false, breaker: null, throttle: null }
    return {
      ...state,
      ...counted,
      deliveredPerMinute: delivered / (LATELY_MS / 60_000),
      timedOut: timedOut.get(target) ?? 0,
      lastError: (lastError.get({ target }) as TargetError | undefined) ?? null,
      lastProbe: state.breaker?.lastProbe === undefined ? null : probe(state.breaker.lastProbe),
    }
  })
}

/**
 * Reads indexes, and the rows of live deliveries once, for those that are not ready. With a million of them it takes 0.4 s;
 * all counts in one pass over the rows took twice as long. A held delivery is of a later
 * event than a dead one that holds their call.
 */
export const TARGET_COUNTS = `
  select target, sum(ready + blocked) as pending, sum(due) as due, sum(ready - due) as backoff, sum(blocked - held) as waiting,
    sum(held) as held, sum(heldCalls) as heldCalls, sum(retrying) as retrying, sum(dead) as dead,
    min(oldestDueAt) as oldestDueAt, min(oldestHeldAt) as oldestHeldAt, sum(delivered) as delivered
  from (
    select target, count(*) as ready, sum(due_at <= @now) as due, min(iif(due_at <= @now, due_at, null)) as oldestDueAt,
      0 as blocked, 0 as held, 0 as heldCalls, null as oldestHeldAt, 0 as retrying, 0 as dead, 0 as delivered
    from live_deliveries
    where ready = 1
    group by target
    union all
    select target, 0, 0, null, count(*), 0, 0, null, 0, 0, 0
    from live_deliveries
    where ready = 0
    group by target
    union all
    select h.target, 0, 0, null, 0, count(*), count(distinct h.call_key), min(d.due_at), 0, 0, 0
    from (
      select h.target, h.call_key, min(f.event_seq) as event_seq
      from held_calls h
      join finished_deliveries f on f.delivery_id = h.delivery_id
      group by h.target, h.call_key) h
    cross join live_deliveries d on d.target = h.target and d.call_key = h.call_key and d.event_seq > h.event_seq
    where d.ready = 0
    group by h.target
    union all
    select target, 0, 0, null, 0, 0, 0, null, count(*), 0, 0
    from live_deliveries
    where last_error is not null
    group by target
    union all
    select target, 0, 0, null, 0, 0, 0, null, 0, count(*), 0
    from finished_deliveries
    where state = 'dead'
    group by target
    union all
    select target, 0, 0, null, 0, 0, 0, null, 0, 0, count(*)
    from finished_deliveries
    where finished_at > @since and state = 'delivered'
    group by target)
  group by target`

/** The target may have got these requests and done the work. The texts are those of `http-exchange.ts` and `exec.ts`. */
export const TIMED_OUT = `
  select target, count(*) as count
  from (select * from attempts order by attempt_seq desc limit ${READ_FOR_TIMEOUTS})
  where started_at > @since and error not like '%; resolving the name took%'
    and (error glob 'timeout: no complete answer*' or error glob 'timeout: killed after*')
  group by target`

/** The newest error of what is retried or dead. */
export const LAST_ERROR = `
  select error, at
  from (
    select * from (
      select last_error as error, updated_at as at
      from live_deliveries
      where target = @target and last_error is not null
      order by updated_at desc
      limit 1)
    union all
    select * from (
      select last_error, finished_at
      from finished_deliveries
      where target = @target and state = 'dead'
      order by finished_at desc
      limit 1))
  order by at desc
  limit 1`

/** While the circuit is open, only probes are made: a delivery's last attempt is its probe. */
export const LAST_ATTEMPT = `
  select e.event_id as eventId, a.started_at as startedAt, a.status, a.error
  from attempts a
  left join events e on e.event_seq = a.event_seq
  where a.delivery_id = @deliveryId
  order by a.attempt desc
  limit 1`
