import { setTimeout as sleep } from 'node:timers/promises'
import type Database from 'better-sqlite3'
import { RelayError } from '../../domain/errors.ts'
import { callIdOf, parsePayload } from '../../domain/event.ts'
import { RELAY_SOURCE } from '../../domain/relay-events.ts'
import type { Erasable } from '../maintenance.ts'
import { createCallOrder } from './call-order.ts'
import { createRedelivery } from './redelivery.ts'

/** What stands where a target's words have stood. */
const ERASED = 'erased'

/** Synchronous; `erase` is in a transaction of the caller's. */
export interface Erasure {
  find(callId: string): Erasable
  /** Erases what `find` finds. Throws `usage` where that has unfinished deliveries and they are not to be cancelled. */
  erase(callId: string, cancel: boolean, now: number): Erasable
}

interface EventRow {
  readonly eventSeq: number
  readonly eventId: string
}

export function createErasure(database: Database.Database): Erasure {
  const redelivery = createRedelivery(database, createCallOrder(database))
  // The relay's own events about its deliveries may quote what a target said.
  const selectEvents = database.prepare(`
    select event_seq as eventSeq, event_id as eventId
    from events
    where call_id = @callId
    union all
    select e.event_seq, e.event_id
    from events e
    join event_bodies b on b.event_seq = e.event_seq
    where e.source = '${RELAY_SOURCE}'
      and instr(b.body, cast(@callId as blob)) > 0
      and json_extract(cast(b.body as text), '$.delivery.callId') = @callId`)
  const selectRejections = database.prepare(`
    select rejection_id as rejectionId, body
    from rejections
    where body is not null and instr(body, cast(@callId as blob)) > 0`)
  const of = 'event_seq in (select value from json_each(@seqs))'
  const unfinished = database.prepare(`select delivery_id from live_deliveries where ${of}`).pluck()
  // A dead one that holds its call back can never be retried now.
  const holding = database
    .prepare(`
    select f.delivery_id
    from finished_deliveries f
    join held_calls h on h.target = f.target and h.call_key = f.call_key and h.delivery_id = f.delivery_id
    where f.${of}`)
    .pluck()
  const count = (sql: string) => database.prepare(sql).pluck()
  const countBodies = count(`select count(*) from event_bodies where ${of}`)
  const countAttachments = count(`select count(*) from attachments where ${of}`)
  const answersOf = `
    delivery_id in (
      select delivery_id from live_deliveries where ${of}
      union all
      select delivery_id from finished_deliveries where ${of})
    and (response is not null or error != '${ERASED}')`
  const countAnswers = count(`select count(*) from attempts where ${answersOf}`)
  const eraseAnswers = database.prepare(`
    update attempts
    set response = null, error = iif(error is null, null, '${ERASED}')
    where ${answersOf}`)
  const erasures = [
    `update finished_deliveries set last_error = '${ERASED}' where ${of} and last_error is not null`,
    `delete from event_bodies where ${of}`,
    `delete from attachments where ${of}`,
    `update events set tracestate = null where ${of} and tracestate is not null`,
  ].map((sql) => database.prepare(sql))
  const removeRejection = database.prepare('delete from rejections where rejection_id = @rejectionId')

  const seqsOf = (events: readonly EventRow[]) => JSON.stringify(events.map(({ eventSeq }) => eventSeq))

  function rejectionsOf(callId: string): number[] {
    const found: number[] = []
    for (const row of selectRejections.iterate({ callId })) {
      const { rejectionId, body } = row as { rejectionId: number; body: Uint8Array }
      if (isAbout(callId, body)) found.push(rejectionId)
    }
    return found
  }

  function find(callId: string): Erasable {
    const events = selectEvents.all({ callId }) as EventRow[]
    const seqs = seqsOf(events)
    return {
      eventIds: events.map(({ eventId }) => eventId),
      bodies: countBodies.get({ seqs }) as number,
      answers: countAnswers.get({ seqs }) as number,
      attachments: countAttachments.get({ seqs }) as number,
      rejections: rejectionsOf(callId).length,
      unfinished: unfinished.all({ seqs }).length,
    }
  }

  return {
    find,

    erase(callId, cancel, now) {
      const found = find(callId)
      if (found.unfinished > 0 && !cancel) throw new RelayError('usage', 'the call has unfinished deliveries')
      const seqs = seqsOf(selectEvents.all({ callId }) as EventRow[])
      for (const deliveryId of [...unfinished.all({ seqs }), ...holding.all({ seqs })] as number[]) {
        redelivery.cancel(deliveryId, now)
      }
      eraseAnswers.run({ seqs })
      for (const erasure of erasures) erasure.run({ seqs })
      for (const rejectionId of rejectionsOf(callId)) removeRejection.run({ rejectionId })
      return found
    },
  }
}

/** Whether a refused request holds this call's event. One that is no event at all counts where it has the id in it. */
function isAbout(callId: string, body: Uint8Array): boolean {
  const parsed = parsePayload(body)
  return 'problem' in parsed ? hasWord(Buffer.from(body).toString(), callId) : callIdOf(parsed.payload) === callId
}

/** Whether the word is in the text by itself, and not only as a part of a longer one. */
function hasWord(text: string, word: string): boolean {
  const pieces = text.split(word)
  return pieces.some((piece, n) => n > 0 && !/[\w-]$/.test(pieces[n - 1]!) && !/^[\w-]/.test(piece))
}

/** For the log to be let go by those who only read or write for a moment. */
const TRIES = 40
const PAUSE_MS = 25

/**
 * Empties the write-ahead log, in which older copies of what was erased may be. False where somebody reads it all the
 * time. It never waits with the lock in its hands, for then the daemon would have to wait too.
 */
export async function emptyLog(database: Database.Database): Promise<boolean> {
  const timeout = database.pragma('busy_timeout', { simple: true }) as number
  database.pragma('busy_timeout = 0')
  try {
    for (let n = 0; n < TRIES; n++) {
      const [{ busy }] = database.pragma('wal_checkpoint(truncate)') as [{ busy: number }]
      if (busy === 0) return true
      await sleep(PAUSE_MS)
    }
    return false
  } finally {
    database.pragma(`busy_timeout = ${timeout}`)
  }
}
