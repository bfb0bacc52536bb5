import type Database from 'better-sqlite3'
import type {
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
    listGaps(limit) {
      return database
        .prepare(`
        select source, call_id as callId, event, found_at as foundAt
        from gaps g
        where ${UNFILLED}
        order by found_at desc, call_id, event
        limit ?`)
        .all(limit) as Gap[]
    },
  }
}

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
