import { setTimeout as sleep } from 'node:timers/promises'
import type Database from 'better-sqlite3'
import { ERASED } from '../../domain/delivery.ts'
import { RelayError } from '../../domain/errors.ts'
import { callIdOf, parsePayload } from '../../domain/event.ts'
import { asUtf8 } from '../../domain/json-bytes.ts'
import { RELAY_SOURCE } from '../../domain/relay-events.ts'
import type { Erasable } from '../maintenance.ts'
import { createCallOrder } from './call-order.ts'
import { createRedelivery } from './redelivery.ts'
import type { PacedWriter } from './transaction.ts'

/** Erasing one call. Synchronous; what writes is in a transaction of the caller's. */
export interface Erasure {
  find(callId: string): Erasable
  /** What is on record of the call and newer than `after`, in the order in which it came. */
  findAfter(callId: string, after: Position): Found
  unfinishedOf(eventSeqs: readonly number[]): number[]
  /** Cancels a delivery that needs what is to be erased. */
  cancel(deliveryId: number, now: number): void
  /** Throws `usage` where the event has unfinished deliveries. */
  eraseEvent(eventSeq: number, now: number): void
  eraseRejection(rejectionId: number): void
}

/** The newest event and rejection that have been examined. */
interface Position {
  readonly eventSeq: number
  readonly rejectionId: number
}

interface Found {
  readonly eventSeqs: readonly number[]
  readonly rejectionIds: readonly number[]
  readonly end: Position
}

/**
 * Erases what is on record of a call in short transactions. Finding it reads the bodies of all kept rejections, so that happens
 * outside of them; what came meanwhile is looked for once more at the end, among the newest rows only. Throws `usage`, with
 * nothing erased, where there are unfinished deliveries and they are not to be cancelled.
 */
export async function eraseInSteps(
  erasure: Erasure,
  writer: PacedWriter,
  { callId, cancel, now }: { readonly callId: string; readonly cancel: boolean; readonly now: number },
): Promise<void> {
  async function erase({ eventSeqs, rejectionIds }: Found): Promise<void> {
    const unfinished = erasure.unfinishedOf(eventSeqs)
    if (unfinished.length > 0 && !cancel) throw new RelayError('usage', 'the call has unfinished deliveries')
    await writer.each(unfinished, (deliveryId) => erasure.cancel(deliveryId, now))
    await writer.each(eventSeqs, (eventSeq) => erasure.eraseEvent(eventSeq, now))
    await writer.each(rejectionIds, (rejectionId) => erasure.eraseRejection(rejectionId))
  }
  const found = erasure.findAfter(callId, { eventSeq: 0, rejectionId: 0 })
  await erase(found)
  await erase(erasure.findAfter(callId, found.end))
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
    where call_id = @callId and event_seq > @after
    union all
    select e.event_seq, e.event_id
    from events e
    join event_bodies b on b.event_seq = e.event_seq
    where e.event_seq > @after and e.source = '${RELAY_SOURCE}'
      and instr(b.body, cast(@callId as blob)) > 0
      and json_extract(cast(b.body as text), '$.delivery.callId') = @callId`)
  // Beside those with the id in them, those in UTF-16 and UTF-32: their text is searched once it is decoded.
  const selectRejections = database.prepare(`
    select rejection_id as rejectionId, body
    from rejections
    where body is not null and rejection_id > @after
      and (instr(body, cast(@callId as blob)) > 0 or instr(substr(body, 1, 4), x'00') > 0)`)
  const selectEnd = database.prepare(`
    select
      (select coalesce(max(event_seq), 0) from events) as eventSeq,
      (select coalesce(max(rejection_id), 0) from rejections) as rejectionId`)
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
    and (response is not null or note is not null or error != '${ERASED}')`
  const countAnswers = count(`select count(*) from attempts where ${answersOf}`)
  const eraseAnswers = database.prepare(`
    update attempts
    set response = null, note = null, error = iif(error is null, null, '${ERASED}')
    where ${answersOf}`)
  const erasures = [
    `update finished_deliveries set last_error = '${ERASED}' where ${of} and last_error is not null`,
    `delete from event_bodies where ${of}`,
    `delete from attachments where ${of}`,
    `update events set tracestate = null where ${of} and tracestate is not null`,
  ].map((sql) => database.prepare(sql))
  const removeRejection = database.prepare('delete from rejections where rejection_id = @rejectionId')

  const seqsOf = (events: readonly EventRow[]) => JSON.stringify(events.map(({ eventSeq }) => eventSeq))

  function rejectionsOf(callId: string, after: number): number[] {
    const found: number[] = []
    for (const row of selectRejections.iterate({ callId, after })) {
      const { rejectionId, body } = row as { rejectionId: number; body: Uint8Array }
      if (isAbout(callId, body)) found.push(rejectionId)
    }
    return found
  }

  return {
    find(callId) {
      const events = selectEvents.all({ callId, after: 0 }) as EventRow[]
      const seqs = seqsOf(events)
      return {
        eventIds: events.map(({ eventId }) => eventId),
        bodies: countBodies.get({ seqs }) as number,
        answers: countAnswers.get({ seqs }) as number,
        attachments: countAttachments.get({ seqs }) as number,
        rejections: rejectionsOf(callId, 0).length,
        unfinished: unfinished.all({ seqs }).length,
      }
    },

    findAfter(callId, after) {
      // Before the rest is read: what comes meanwhile is found the next time.
      const end = selectEnd.get() as Position
      const events = selectEvents.all({ callId, after: after.eventSeq }) as EventRow[]
      return {
        eventSeqs: events.map(({ eventSeq }) => eventSeq),
        rejectionIds: rejectionsOf(callId, after.rejectionId),
        end,
      }
    },

    unfinishedOf: (eventSeqs) => unfinished.all({ seqs: JSON.stringify(eventSeqs) }) as number[],

    cancel: (deliveryId, now) => void redelivery.cancel(deliveryId, now),

    eraseEvent(eventSeq, now) {
      const seqs = JSON.stringify([eventSeq])
      if (unfinished.get({ seqs }) !== undefined) throw new RelayError('usage', 'the call has unfinished deliveries')
      for (const deliveryId of holding.all({ seqs }) as number[]) redelivery.cancel(deliveryId, now)
      eraseAnswers.run({ seqs })
      for (const erasure of erasures) erasure.run({ seqs })
    },

    eraseRejection: (rejectionId) => void removeRejection.run({ rejectionId }),
  }
}

/** Whether a refused request holds this call's event. One that is no event at all counts where it has the id in it. */
function isAbout(callId: string, body: Uint8Array): boolean {
  const parsed = parsePayload(body)
  return 'problem' in parsed
    ? hasWord(Buffer.from(asUtf8(body)).toString(), callId)
    : callIdOf(parsed.payload) === callId
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
  // All but what is written meanwhile, without the write lock; the checkpoint that empties it holds that lock throughout.
  database.pragma('wal_checkpoint(passive)')
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
