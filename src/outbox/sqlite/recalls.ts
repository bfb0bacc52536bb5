import type Database from 'better-sqlite3'
import type { RecallDesk, SentDelivery } from '../operator.ts'
import type { AttemptUnderWay } from '../outbox.ts'
import { isLocked } from './lock.ts'
import type { PacedWriter } from './transaction.ts'

/** Synchronous; what writes is in a transaction of the caller's. */
export interface RecallStore {
  /** Returns the number of the request. Numbers only grow. */
  requestRecall(): number
  /** The number of the last request; 0 before the first. */
  recallRequested(): number
  answerRecall(request: number, attempts: readonly AttemptUnderWay[]): void
  /** Answers all requests with nothing under way: a relay that starts has claimed nothing. */
  settleRecalls(): void
  recallAnswer(request: number): SentDelivery[] | null
}

export function createRecallStore(database: Database.Database): RecallStore {
  const request = database
    .prepare(`
    insert into recalls (only_one, requested) values (1, 1)
    on conflict do update set requested = requested + 1
    returning requested`)
    .pluck()
  const requested = database.prepare('select requested from recalls').pluck()
  const answered = database.prepare('select answered from recalls').pluck()
  const answer = database.prepare('update recalls set answered = max(answered, @request)')
  const clear = database.prepare('delete from attempts_under_way')
  const insert = database.prepare(`
    insert into attempts_under_way (delivery_id, target, started_at)
    values (@deliveryId, @target, @startedAt)
    on conflict do nothing`)
  const attempts = database.prepare(`
    select a.delivery_id as deliveryId, a.target, a.started_at as startedAt, e.event_id as eventId
    from attempts_under_way a
    left join live_deliveries l on l.delivery_id = a.delivery_id
    left join finished_deliveries f on f.delivery_id = a.delivery_id
    left join events e on e.event_seq = coalesce(l.event_seq, f.event_seq)
    order by a.delivery_id`)
  const settle = database.prepare('update recalls set answered = requested where answered < requested')

  return {
    requestRecall: () => request.get() as number,
    recallRequested: () => (requested.get() as number | undefined) ?? 0,

    answerRecall(number, underWay) {
      answer.run({ request: number })
      clear.run()
      for (const attempt of underWay) insert.run(attempt)
    },

    settleRecalls() {
      settle.run()
      clear.run()
    },

    recallAnswer(number) {
      const last = (answered.get() as number | undefined) ?? 0
      return last < number ? null : (attempts.all() as SentDelivery[])
    },
  }
}

/** Over a command's connection to the outbox at `path`. */
export function createRecallDesk(database: Database.Database, writer: PacedWriter, path: string): RecallDesk {
  const store = createRecallStore(database)
  const last = database.prepare('select coalesce(max(attempt_seq), 0) from attempts').pluck()
  const cancelledButDelivered = database.prepare(`
    select distinct f.delivery_id as deliveryId, f.target, e.event_id as eventId
    from attempts a
    join finished_deliveries f on f.delivery_id = a.delivery_id
    join events e on e.event_seq = f.event_seq
    where a.attempt_seq > @last and a.outcome = 'delivered' and f.state = 'cancelled'`)
  return {
    async requestRecall() {
      return isLocked(path) ? writer.write(() => store.requestRecall()) : null
    },

    async recallAnswer(request) {
      const answer = database.transaction(() => store.recallAnswer(request)).deferred()
      // It may have ended after its answer was looked for.
      return answer ?? (isLocked(path) ? null : [])
    },

    lastAttempt: async () => last.get() as number,

    cancelledButDelivered: async (attempt) => cancelledButDelivered.all({ last: attempt }) as SentDelivery[],
  }
}
