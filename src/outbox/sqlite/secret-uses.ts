import type Database from 'better-sqlite3'
import type { SecretUse } from '../operator.ts'

export interface SecretUseStore {
  saveSecretUse(source: string, fingerprint: string, at: number): void
  secretUses(source: string): SecretUse[]
}

export function createSecretUseStore(database: Database.Database): SecretUseStore {
  const upsert = database.prepare(`
    insert into secret_uses (source, fingerprint, first_used_at, last_used_at)
    values (@source, @fingerprint, @at, @at)
    on conflict do update set last_used_at = max(last_used_at, excluded.last_used_at)`)
  const select = database.prepare(`
    select fingerprint, first_used_at as firstUsedAt, last_used_at as lastUsedAt
    from secret_uses
    where source = ?
    order by first_used_at`)

  return {
    saveSecretUse: (source, fingerprint, at) => void upsert.run({ source, fingerprint, at }),
    secretUses: (source) => select.all(source) as SecretUse[],
  }
}
