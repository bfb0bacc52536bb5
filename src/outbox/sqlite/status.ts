import { statfsSync, statSync } from 'node:fs'
import type Database from 'better-sqlite3'
import type { OutboxStatus, SourceActivity, StorageStatus } from '../operator.ts'
import { SCHEMA, schemaOf } from './migrate.ts'
import { createdAt } from './origin.ts'
import { logBytes } from './space.ts'
import { createSpaceKeeper } from './space-keeper.ts'
import { targetSummaries } from './target-summaries.ts'

const HOUR_MS = 3_600_000

/** How everything on record is doing. Call it in a transaction, so that what it tells is of one moment. */
export function outboxStatus(database: Database.Database, path: string, now: number): OutboxStatus {
  return {
    sources: sourceActivity(database, now - HOUR_MS),
    targets: targetSummaries(database, now),
    events: database.prepare('select count(*) from events where pruned_at is null').pluck().get() as number,
    storage: storageStatus(database, path),
  }
}

interface RefusalRow {
  readonly source: string
  readonly reason: string
  readonly count: number
}

function sourceActivity(database: Database.Database, since: number): SourceActivity[] {
  const events = database.prepare(SOURCE_EVENTS).all({ since }) as Omit<SourceActivity, 'refusedLastHour'>[]
  const refusals = database.prepare(REFUSALS).all({ since }) as RefusalRow[]
  const known = new Map(events.map((row) => [row.source, row]))
  return [...new Set([...known.keys(), ...refusals.map(({ source }) => source)])].sort().map((source) => ({
    ...(known.get(source) ?? { source, lastEventAt: null, eventsLastHour: 0 }),
    refusedLastHour: refusals.filter((row) => row.source === source).map(({ reason, count }) => ({ reason, count })),
  }))
}

/** One look-up a source and its last hour, instead of reading all events. */
export const SOURCE_EVENTS = `
  with recursive names (source) as (
    select min(source) from events
    union all
    select (select min(source) from events where source > names.source)
    from names
    where names.source is not null)
  select
    n.source,
    (select max(received_at) from events where source = n.source) as lastEventAt,
    (select count(*) from events where source = n.source and received_at > @since) as eventsLastHour
  from names n
  where n.source is not null`

export const REFUSALS = `
  select source, reason, count(*) as count
  from rejections
  where received_at > @since
  group by source, reason
  order by count desc, reason`

function storageStatus(database: Database.Database, path: string): StorageStatus {
  const { bavail, bsize } = statfsSync(path)
  return {
    bytes: statSync(path).size,
    usedBytes: createSpaceKeeper(database).usedBytes(),
    walBytes: logBytes(path),
    freeBytes: bavail * bsize,
    createdAt: createdAt(database),
    schemaVersion: schemaOf(database),
    programSchema: SCHEMA,
  }
}
