import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import type Database from 'better-sqlite3'
import { callKey } from '../src/outbox/sqlite/call-order.ts'
import { openOutboxFile } from '../src/outbox/sqlite/database.ts'
import { bodyOf } from './requests.ts'

export interface Filling {
  /** So many unfinished deliveries, by target. */
  readonly pending?: Readonly<Record<string, number>>
  /** Whether they are about few calls, and wait for one another. */
  readonly ordered?: boolean
  /** So many events that were delivered long ago. */
  readonly delivered?: number
  /** Bodies of two bytes, where nothing is to be sent. */
  readonly tiny?: boolean
}

/** How many events of a call there are, where they are to be in order. */
const OF_A_CALL = 4
/** In one transaction: faster by far than a relay would. */
const BATCH = 20_000

/** Makes an outbox as it is after long use. Nothing is synced: it is a measurement's, and may be lost. */
export function fillOutbox(directory: string, filling: Filling): void {
  const { database, close } = openOutboxFile(join(directory, 'relay.db'))
  database.pragma('synchronous = off')
  database.pragma('cache_size = -262144')
  fill(database, filling)
  database.pragma('wal_checkpoint(truncate)')
  close()
}

function fill(
  database: Database.Database,
  { pending = {}, ordered = false, delivered = 0, tiny = false }: Filling,
): void {
  const event = database.prepare(`
    insert into events (event_id, source, event, call_id, received_at, origin, content_type)
    values (@id, 'ultravox', @event, @callId, @now, 'webhook', 'application/json')`)
  const body = database.prepare('insert into event_bodies (event_seq, body) values (@seq, @body)')
  const live = database.prepare(`
    insert into live_deliveries (event_seq, target, call_key, ready, due_at, updated_at)
    values (@seq, @target, @callKey, @ready, @now, @now)`)
  const finished = database.prepare(`
    insert into finished_deliveries (event_seq, target, state, attempts, round, finished_at, last_status)
    values (@seq, @target, 'delivered', 1, 1, @now, 204)`)
  const now = Date.now()
  const text = tiny ? Buffer.from('{}') : bodyOf()

  function record(callId: string, name: string): number | bigint {
    const seq = event.run({ id: randomUUID(), callId, event: name, now }).lastInsertRowid
    body.run({ seq, body: text })
    return seq
  }

  inBatches(database, delivered, () => {
    const seq = record(randomUUID(), 'call.ended')
    for (const target of ['crm', 'billing']) finished.run({ seq, target, now })
  })
  for (const [target, count] of Object.entries(pending)) {
    let callId = randomUUID()
    inBatches(database, count, (number) => {
      const place = ordered ? number % OF_A_CALL : 0
      if (place === 0) callId = randomUUID()
      const seq = record(callId, `call.${place}`)
      live.run({ seq, target, callKey: ordered ? callKey(callId) : null, ready: place === 0 ? 1 : 0, now })
    })
  }
}

function inBatches(database: Database.Database, count: number, add: (number: number) => void): void {
  for (let from = 0; from < count; from += BATCH) {
    database.transaction(() => {
      for (let number = from; number < Math.min(count, from + BATCH); number++) add(number)
    })()
  }
}
