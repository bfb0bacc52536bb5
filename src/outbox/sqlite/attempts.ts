import type Database from 'better-sqlite3'
import { type Attempt, type Delivery, withoutAnswer } from '../../domain/delivery.ts'
import type { Settled } from '../outbox.ts'

/** Synchronous, in a transaction of the caller's. */
export interface AttemptStore {
  /** Records an attempt as the delivery's `number`th. */
  record(delivery: AttemptedDelivery, number: number, attempt: Attempt): void
  /**
   * Records an attempt whose delivery an operator has retried or cancelled meanwhile. Only its count of attempts and its last
   * result change.
   */
  recordLate(delivery: Pick<Delivery, 'deliveryId' | 'target'>, attempt: Attempt): Exclude<Settled, 'settled'>
}

interface AttemptedDelivery extends Pick<Delivery, 'deliveryId' | 'target'> {
  readonly eventSeq: number
}

interface Counted {
  readonly eventSeq: number
  readonly number: number
}

export function createAttemptStore(database: Database.Database): AttemptStore {
  const insert = database.prepare(`
    insert into attempts
      (delivery_id, event_seq, target, attempt, started_at, duration_ms, outcome, status, error, response, note)
    values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
  const countLive = database.prepare(`
    update live_deliveries
    set attempts = attempts + 1, updated_at = @endedAt, last_status = @status, last_error = @error
    where delivery_id = @deliveryId
    returning event_seq as eventSeq, attempts as number`)
  const isErased = database
    .prepare(`
    select not exists (select 1 from event_bodies b where b.event_seq = d.event_seq)
    from finished_deliveries d
    where d.delivery_id = @deliveryId`)
    .pluck()
  const countCancelled = database.prepare(`
    update finished_deliveries
    set attempts = attempts + 1, last_status = @status, last_error = @error
    where delivery_id = @deliveryId and state = 'cancelled'
    returning event_seq as eventSeq, attempts as number`)

  function record({ deliveryId, eventSeq, target }: AttemptedDelivery, number: number, attempt: Attempt): void {
    const { startedAt, durationMs, outcome, status, error, response, note } = attempt
    const result = [outcome, status, error, response, note]
    insert.run(deliveryId, eventSeq, target, number, startedAt, durationMs, ...result)
  }

  return {
    record,
    recordLate(delivery, attempt) {
      const { deliveryId } = delivery
      const { status, error, startedAt, durationMs } = attempt
      const endedAt = startedAt + durationMs
      const live = countLive.get({ deliveryId, status, error, endedAt }) as Counted | undefined
      if (live !== undefined) {
        record({ ...delivery, eventSeq: live.eventSeq }, live.number, attempt)
        return 'retried'
      }
      const erased = isErased.get({ deliveryId }) === 1
      const kept = erased ? withoutAnswer(attempt) : attempt
      const cancelled = countCancelled.get({ deliveryId, status, error: kept.error }) as Counted | undefined
      if (cancelled === undefined) return 'gone'
      record({ ...delivery, eventSeq: cancelled.eventSeq }, cancelled.number, kept)
      return erased ? 'erased' : 'cancelled'
    },
  }
}
