import type Database from 'better-sqlite3'
import type { ExpectedEvent, ReconciliationStore, Sweep } from '../reconciliation.ts'

type Synchronous<T> = {
  [K in keyof T]: T[K] extends (...args: infer A) => Promise<infer R> ? (...args: A) => R : never
}

interface SweepRow {
  readonly completedUntil: number | null
  readonly from: number | null
  readonly to: number | null
  readonly phase: 'calls' | 'deleted' | null
  readonly page: string | null
}

export function createReconciliationStore(database: Database.Database): Synchronous<ReconciliationStore> {
  const known = database
    .prepare('select 1 from events where call_id = @callId and event = @event and source = @source')
    .pluck()
  const select = database.prepare(`
    select completed_until as completedUntil, from_at as "from", to_at as "to", phase, page
    from sweeps
    where source = ?`)
  const replace = database.prepare(`
    insert or replace into sweeps (source, completed_until, from_at, to_at, phase, page, updated_at)
    values (@source, @completedUntil, @from, @to, @phase, @page, @now)`)
  const insertGap = database.prepare(`
    insert into gaps (source, call_id, event, found_at)
    values (@source, @callId, @event, @now)
    on conflict do nothing`)

  return {
    missingEvents: (source, events) => events.filter((event) => known.get({ ...event, source }) === undefined),
    sweep(source) {
      const row = select.get(source) as SweepRow | undefined
      return row === undefined ? null : sweepOf(row)
    },
    saveSweep(source, { completedUntil, current }, now) {
      const nothing = { from: null, to: null, phase: null, page: null }
      replace.run({ source, completedUntil, ...(current ?? nothing), now })
    },
    saveGaps: (source, events, now) => {
      return events.filter((event: ExpectedEvent) => insertGap.run({ ...event, source, now }).changes === 1)
    },
  }
}

function sweepOf({ completedUntil, from, to, phase, page }: SweepRow): Sweep {
  return { completedUntil, current: from === null || to === null || phase === null ? null : { from, to, phase, page } }
}
