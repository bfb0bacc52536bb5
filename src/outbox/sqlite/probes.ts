import type Database from 'better-sqlite3'
import type { ProbeDesk, ProbeRequest, ProbeResult } from '../operator.ts'
import { isLocked } from './lock.ts'
import { createRecallStore } from './recalls.ts'
import type { PacedWriter } from './transaction.ts'

/** Synchronous; what writes is in a transaction of the caller's. */
export interface ProbeStore {
  /** Returns the number of the request. Numbers only grow. */
  requestProbe(target: string, now: number): number
  /** Those that are not answered. */
  probeRequests(): ProbeRequest[]
  answerProbe(target: string, request: number, result: ProbeResult): void
  /** Answers all requests as interrupted: they were made to an earlier relay. */
  settleProbes(): void
  probeResult(target: string, request: number): ProbeResult | null
}

const INTERRUPTED: ProbeResult = { outcome: 'interrupted' }

export function createProbeStore(database: Database.Database): ProbeStore {
  const request = database
    .prepare(`
    insert into target_states (target, probe_requested, updated_at)
    values (@target, 1, @now)
    on conflict (target) do update set probe_requested = probe_requested + 1
    returning probe_requested`)
    .pluck()
  const unanswered = database.prepare(`
    select target, probe_requested as request
    from target_states
    where probe_answered < probe_requested
    order by target`)
  const answer = database.prepare(`
    update target_states
    set probe_answered = max(probe_answered, @request), probe_result = @result
    where target = @target`)
  const settle = database.prepare(`
    update target_states
    set probe_answered = probe_requested, probe_result = null
    where probe_answered < probe_requested`)
  const select = database.prepare(`
    select probe_answered as answered, probe_result as result
    from target_states
    where target = @target`)

  return {
    requestProbe: (target, now) => request.get({ target, now }) as number,
    probeRequests: () => unanswered.all() as ProbeRequest[],
    answerProbe: (target, number, result) =>
      void answer.run({ target, request: number, result: JSON.stringify(result) }),
    settleProbes: () => void settle.run(),

    probeResult(target, number) {
      const row = select.get({ target }) as { answered: number; result: string | null } | undefined
      if (row === undefined || row.answered < number) return null
      return row.result === null ? INTERRUPTED : (JSON.parse(row.result) as ProbeResult)
    },
  }
}

/** Over a command's connection to the outbox at `path`. */
export function createProbeDesk(database: Database.Database, writer: PacedWriter, path: string): ProbeDesk {
  const store = createProbeStore(database)
  return {
    async requestProbe(target, now) {
      if (!isLocked(path)) return null
      return writer.write(() => {
        const request = store.requestProbe(target, now)
        // The relay looks for probes when it answers a recall.
        createRecallStore(database).requestRecall()
        return request
      })
    },

    async probeResult(target, request) {
      const isRunning = isLocked(path)
      return store.probeResult(target, request) ?? (isRunning ? null : INTERRUPTED)
    },
  }
}
