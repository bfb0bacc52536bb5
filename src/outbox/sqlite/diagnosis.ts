import type Database from 'better-sqlite3'
import type { Diagnosis } from '../maintenance.ts'
import { SCHEMA, schemaOf } from './migrate.ts'
import { createdAt } from './origin.ts'
import { logBytes } from './space.ts'
import { createSpaceKeeper } from './space-keeper.ts'

/** Looks at the storage itself. `deep`: the indexes too, entry by entry, which reads all of it several times. */
export function diagnose(database: Database.Database, path: string, deep: boolean): Diagnosis {
  const verdicts = database.pragma(deep ? 'integrity_check(10)' : 'quick_check(10)') as Record<string, string>[]
  const space = createSpaceKeeper(database)
  const damage = verdicts.flatMap((row) => Object.values(row)).filter((verdict) => verdict !== 'ok')
  return {
    engine: `SQLite ${database.prepare('select sqlite_version()').pluck().get()}`,
    schemaVersion: schemaOf(database),
    programSchema: SCHEMA,
    createdAt: createdAt(database),
    damage,
    logBytes: logBytes(path),
    usedBytes: space.usedBytes(),
    shrinks: space.shrinks,
    keptRejections: database
      .prepare(`
      select reason, count(*) as count, max(received_at) as lastAt
      from rejections
      where body is not null
      group by reason
      order by reason`)
      .all() as Diagnosis['keptRejections'],
  }
}
