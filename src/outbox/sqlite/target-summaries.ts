import type Database from 'better-sqlite3'
import type { TargetError, TargetSummary } from '../operator.ts'
import { createTargetStateStore } from './target-states.ts'

const LATELY_MS = 5 * 60_000

interface Counts {
  readonly target: string
  readonly pending: number
  readonly due: number
  readonly oldestDueAt: number | null
  readonly retrying: number
  readonly dead: number
  readonly delivered: number
}

const NO_COUNTS = { pending: 0, due: 0, oldestDueAt: null, retrying: 0, dead: 0, delivered: 0 }

/** Every target with deliveries that have not gone well or only just have, or with a state; by name. */
export function targetSummaries(database: Database.Database, now: number): TargetSummary[] {
  const states = new Map(
    createTargetStateStore(database)
      .targetStates()
      // The others have their settings on record, no more.
      .filter(({ paused, breaker }) => paused || breaker !== null)
      .map((state) => [state.target, state]),
  )
  const counts = new Map(
    (database.prepare(TARGET_COUNTS).all({ now, since: now - LATELY_MS }) as Counts[]).map((row) => [row.target, row]),
  )
  const lastError = database.prepare(LAST_ERROR)
  return [...new Set([...states.keys(), ...counts.keys()])].sort().map((target) => {
    const { delivered, ...counted } = counts.get(target) ?? { ...NO_COUNTS, target }
    return {
      ...(states.get(target) ?? { paused: false, breaker: null }),
      ...counted,
      deliveredPerMinute: delivered / (LATELY_MS / 60_000),
      lastError: (lastError.get({ target }) as TargetError | undefined) ?? null,
    }
  })
}

/** What waits is read as a whole, for it is small as long as targets are well; of what has ended, indexes are. */
export const TARGET_COUNTS = `
  select target, sum(pending) as pending, sum(due) as due, min(oldestDueAt) as oldestDueAt, sum(retrying) as retrying,
    sum(dead) as dead, sum(delivered) as delivered
  from (
    select target, count(*) as pending, sum(ready = 1 and due_at <= @now) as due,
      min(iif(ready = 1 and due_at <= @now, due_at, null)) as oldestDueAt,
      sum(last_error is not null) as retrying, 0 as dead, 0 as delivered
    from live_deliveries
    group by target
    union all
    select target, 0, 0, null, 0, count(*), 0
    from finished_deliveries
    where state = 'dead'
    group by target
    union all
    select target, 0, 0, null, 0, 0, count(*)
    from finished_deliveries
    where finished_at > @since and state = 'delivered'
    group by target)
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
