import type Database from 'better-sqlite3'
import { bodyHash } from '../../domain/event.ts'
import type { Rejection } from '../outbox.ts'

/** How many refused requests without a valid signature are remembered. */
const UNPROVEN_LIMIT = 10_000
/** And with one. Far more: they may hold genuine events of a day on which this machine's clock was wrong. */
const PROVEN_LIMIT = 100_000
/** Nor more than this of their bodies. */
const PROVEN_BYTES = 1024 * 1024 * 1024
/** The limits are enforced at the first refusal after a start, and then once in so many, or in so many bytes. */
const PRUNE_EVERY = 1_000
const PRUNE_EVERY_BYTES = 64 * 1024 * 1024

export interface RejectionStore {
  reject(rejection: Rejection): void
}

/** `provenBytes`: the bound on kept bodies; a test gives a small one. */
export function createRejectionStore(database: Database.Database, provenBytes = PROVEN_BYTES): RejectionStore {
  // A kept request that is sent again (the provider retries for hours) is one row, with the time of the last.
  const insert = database.prepare(`
    insert into rejections (source, received_at, reason, request_id, peer, bytes, headers, body, body_hash, content_type)
    values (@source, @receivedAt, @reason, @requestId, @peer, @bytes, @headers, @body, @bodyHash, @contentType)
    on conflict (body_hash, reason, source) where body is not null
      do update set
        times = times + 1,
        repeat_id = excluded.rejection_id,
        received_at = excluded.received_at,
        request_id = excluded.request_id,
        peer = excluded.peer,
        headers = excluded.headers`)
  const pruneLargest = database.prepare(`
    delete from rejections
    where body is not null and rejection_id <= (
      select max(rejection_id)
      from (
        select rejection_id, sum(length(body)) over (order by rejection_id desc) as newer_bytes
        from rejections
        where body is not null)
      where newer_bytes > ${provenBytes})`)
  const prunings = [
    pruning(database, 'is null', UNPROVEN_LIMIT),
    pruning(database, 'is not null', PROVEN_LIMIT),
    pruneLargest,
  ]
  let sincePruned = PRUNE_EVERY
  let bytesSincePruned = 0

  return {
    reject({ kept, ...rejection }) {
      insert.run({
        ...rejection,
        body: kept?.body ?? null,
        bodyHash: kept === null ? null : bodyHash(kept.body),
        contentType: kept?.contentType ?? null,
      })
      sincePruned += 1
      bytesSincePruned += kept?.body.byteLength ?? 0
      if (sincePruned < PRUNE_EVERY && bytesSincePruned < PRUNE_EVERY_BYTES) return
      sincePruned = 0
      bytesSincePruned = 0
      for (const prune of prunings) prune.run()
    },
  }
}

function pruning(database: Database.Database, body: 'is null' | 'is not null', limit: number): Database.Statement {
  return database.prepare(`
    delete from rejections
    where body ${body} and rejection_id <= (
      select rejection_id
      from rejections
      where body ${body}
      order by rejection_id desc
      limit 1 offset ${limit})`)
}
