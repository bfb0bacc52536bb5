import type Database from 'better-sqlite3'
import type {
  AwaitedCall,
  AwaitedEvent,
  AwaitedEventStore,
  Coverage,
  DueCall,
  ExpectedEvent,
  Gap,
  ProviderReport,
  ProviderState,
  ProviderStateStore,
  ReconciliationReader,
  ReconciliationStore,
  Sweep,
  UntoldGaps,
} from '../reconciliation.ts'

type Synchronous<T> = {
  [K in keyof T]: T[K] extends (...args: infer A) => Promise<infer R> ? (...args: A) => R : never
}

interface SweepRow {
  readonly completedUntil: number | null
  readonly from: number | null
  readonly to: number | null
  readonly page: string | null
}

interface AwaitedRow extends Omit<DueCall, 'deleted'>, AwaitedEvent {
  readonly deleted: 0 | 1
}

/** Synchronous; each that writes is in a transaction of the caller's. */
export function createAwaitedEventStore(database: Database.Database): Synchronous<AwaitedEventStore> {
  const select = database.prepare(`
    select call_id as callId, created_at as createdAt, deleted, event, happened_at as happenedAt, look_at as lookAt
    from awaited_events
    where source = @source and call_id in (select value from json_each(@callIds))
    order by call_id, event`)
  const remove = database.prepare('delete from awaited_events where source = @source and call_id = @callId')
  const insert = database.prepare(`
    insert or replace into awaited_events (source, call_id, event, created_at, deleted, happened_at, look_at)
    values (@source, @callId, @event, @createdAt, @deleted, @happenedAt, @lookAt)`)
  const forgetCome = database.prepare(FORGET_COME)
  const forgetOld = database.prepare(
    'delete from awaited_events where source = @source and created_at < @createdBefore',
  )
  const due = database.prepare(DUE_CALLS)
  const selectCoverage = database.prepare(`
    select scope, from_at as "from", full_at as fullAt, newest
    from sweep_coverage
    where name = ?`)
  const replaceCoverage = database.prepare(`
    insert or replace into sweep_coverage (name, scope, from_at, full_at, newest)
    values (@name, @scope, @from, @fullAt, @newest)`)

  return {
    awaitedOf(source, callIds) {
      const calls = new Map<string, AwaitedCall & { events: AwaitedEvent[] }>()
      for (const row of select.all({ source, callIds: JSON.stringify(callIds) }) as AwaitedRow[]) {
        const { callId, createdAt, deleted, ...event } = row
        const call = calls.get(callId) ?? { callId, createdAt, deleted: deleted === 1, events: [] }
        call.events.push(event)
        calls.set(callId, call)
      }
      return [...calls.values()]
    },
    saveAwaited(source, calls) {
      for (const { callId, createdAt, deleted, events } of calls) {
        remove.run({ source, callId })
        for (const event of events) insert.run({ ...event, source, callId, createdAt, deleted: deleted ? 1 : 0 })
      }
    },
    forgetAwaited(source, dueBy, createdBefore) {
      forgetCome.run({ source, dueBy })
      forgetOld.run({ source, createdBefore })
    },
    dueCalls(source, dueBy, limit) {
      const rows = due.all({ source, dueBy, limit }) as (Omit<DueCall, 'deleted'> & { deleted: 0 | 1 })[]
      return rows.map((row) => ({ ...row, deleted: row.deleted === 1 }))
    },
    coverage: (name) => (selectCoverage.get(name) as Coverage | undefined) ?? null,
    saveCoverage(name, coverage) {
      replaceCoverage.run({ name, ...coverage })
    },
  }
}

export const FORGET_COME = `
  delete from awaited_events
  where source = @source and look_at <= @dueBy
    and exists (
      select 1
      from events e
      where e.call_id = awaited_events.call_id and e.event = awaited_events.event)`

export const DUE_CALLS = `
  select call_id as callId, created_at as createdAt, max(deleted) as deleted
  from awaited_events indexed by awaited_events_by_look
  where source = @source and look_at <= @dueBy
  group by call_id
  order by created_at, call_id
  limit @limit`

export function createReconciliationStore(
  database: Database.Database,
): Synchronous<ReconciliationStore & ProviderStateStore> {
  const known = database
    .prepare('select 1 from events where call_id = @callId and event = @event and account = @account')
    .pluck()
  const select = database.prepare(`
    select completed_until as completedUntil, from_at as "from", to_at as "to", page
    from sweeps
    where name = ?`)
  const replace = database.prepare(`
    insert or replace into sweeps (name, completed_until, from_at, to_at, page, updated_at)
    values (@name, @completedUntil, @from, @to, @page, @now)`)
  const remove = database.prepare('delete from sweeps where name = ?')
  const insertGap = database.prepare(`
    insert into gaps (source, call_id, event, found_at)
    values (@source, @callId, @event, @now)
    on conflict do nothing`)
  const untold = database.prepare(`
    select event, call_id as callId
    from gaps
    where source = @source and told = 0
    order by found_at
    limit @limit`)
  const countUntold = database.prepare(`
    select count(*) as count, coalesce(max(found_at), 0) as foundUntil
    from gaps
    where source = ? and told = 0`)
  const tell = database.prepare('update gaps set told = 1 where source = @source and told = 0 and found_at <= @until')
  const selectState = database.prepare('select state from provider_states where source = ?').pluck()
  const replaceState = database.prepare(
    'insert or replace into provider_states (source, state, updated_at) values (@source, @state, @now)',
  )

  return {
    missingEvents: (account, events) => events.filter((event) => known.get({ ...event, account }) === undefined),
    sweep(name) {
      const row = select.get(name) as SweepRow | undefined
      return row === undefined ? null : sweepOf(row)
    },
    saveSweep(name, { completedUntil, current }, now) {
      if (completedUntil === null && current === null) return void remove.run(name)
      const nothing = { from: null, to: null, page: null }
      replace.run({ name, completedUntil, ...(current ?? nothing), now })
    },
    saveGaps(source, events, now) {
      for (const event of events) insertGap.run({ ...event, source, now })
    },
    providerState(source) {
      const state = selectState.get(source) as string | undefined
      return state === undefined ? null : (JSON.parse(state) as ProviderState)
    },
    untoldGaps(source, limit) {
      const events = untold.all({ source, limit }) as ExpectedEvent[]
      return { ...(countUntold.get(source) as Omit<UntoldGaps, 'events'>), events }
    },
    gapsTold(source, until) {
      tell.run({ source, until })
    },
    saveProviderState(source, state, now) {
      replaceState.run({ source, state: JSON.stringify(state), now })
    },
  }
}

function sweepOf({ completedUntil, from, to, page }: SweepRow): Sweep {
  return { completedUntil, current: from === null || to === null ? null : { from, to, page } }
}

interface ReportRow {
  readonly source: string
  readonly state: string
  readonly completedUntil: number | null
  readonly fetched: number
  readonly gaps: number
}

export function createReconciliationReader(database: Database.Database): Synchronous<ReconciliationReader> {
  return {
    provider() {
      const rows = database.prepare(REPORTS).all() as ReportRow[]
      return rows.map(({ state, ...row }): ProviderReport => ({ ...row, ...(JSON.parse(state) as ProviderState) }))
    },
    listGaps(limit, callPrefix, before) {
      const ofCalls = callPrefix === undefined ? '' : 'call_id >= @callPrefix and call_id < @end and '
      const isBefore = before === undefined ? '' : `${BEFORE} and `
      const end = `${callPrefix}${LAST}`
      return database
        .prepare(`
        select source, call_id as callId, event, found_at as foundAt
        from gaps g
        where ${ofCalls}${isBefore}${UNFILLED}
        order by found_at desc, call_id, event, source
        limit @limit`)
        .all({ limit, callPrefix, end, ...before }) as Gap[]
    },
  }
}

/** Sorts after all that may follow a prefix: the last character of Unicode. */
const LAST = '\u{10FFFF}'

const BEFORE = '(found_at < @foundAt or found_at = @foundAt and (call_id, event, source) > (@callId, @event, @source))'

/** No webhook has arrived since, through whichever source: call ids are unique at the provider. */
const UNFILLED = 'not exists (select 1 from events e where e.call_id = g.call_id and e.event = g.event)'

export const REPORTS = `
  select
    p.source,
    p.state,
    (select completed_until from sweeps where name = p.source) as completedUntil,
    (select count(*) from events where source = p.source and origin = 'reconcile') as fetched,
    (select count(*) from gaps g where source = p.source and ${UNFILLED}) as gaps
  from provider_states p
  order by p.source`
