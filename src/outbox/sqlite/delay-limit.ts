import type Database from 'better-sqlite3'
import { CLAIM_WAITS_MS } from '../../domain/backoff.ts'
import type { TargetSettings } from '../outbox.ts'

/**
 * Keeps for each target the longest delay that its deliveries may have been given, and brings those that were given more forward
 * when it is lowered. They are spread over the new delay: they may be many, and the target may have asked to be left alone.
 * Synchronous, in a transaction of the caller's.
 */
export interface DelayLimitStore {
  /**
   * Works in short steps: it has to be called again until it returns no target. Returns those whose deliveries do not all follow
   * the new limit yet; the old one holds until then.
   */
  applyDelayLimits(targets: readonly TargetSettings[], now: number): string[]
  /** Forgets what is kept in memory: a transaction was rolled back. */
  rolledBack(): void
}

/** Deliveries that are changed in one step, or looked through. */
const CHANGED_A_STEP = 500
const READ_A_STEP = 2_000
/** A tenth of the delay passes before the first of them goes out. */
const EARLIEST = 0.1
/** Multiples of it modulo 1 are spread evenly, however few there are and whatever their distance. */
const GOLDEN_RATIO = (Math.sqrt(5) - 1) / 2

interface LiveRow {
  readonly deliveryId: number
  readonly target: string
  readonly ready: 0 | 1
  readonly dueAt: number
}

export function createDelayLimitStore(database: Database.Database): DelayLimitStore {
  /** How far waiting deliveries have been read, for targets whose limit is being lowered. */
  const reads = new Map<string, { readonly limitMs: number; readonly upTo: number }>()
  const selectLimit = database.prepare('select max_delay_ms from target_states where target = ?').pluck()
  const saveLimit = database.prepare(`
    insert into target_states (target, max_delay_ms, updated_at)
    values (@target, @limitMs, @now)
    on conflict (target) do update set max_delay_ms = excluded.max_delay_ms`)
  // by live_deliveries_by_due
  const putOff = database
    .prepare(`
    select delivery_id
    from live_deliveries
    where target = @target and background = @background and due_at > @from and due_at <= @to and ready = 1
    order by due_at
    limit @limit`)
    .pluck()
  const selectAfter = database.prepare(`
    select delivery_id as deliveryId, target, ready, due_at as dueAt
    from live_deliveries
    where delivery_id > @after
    order by delivery_id
    limit @limit`)
  const setDue = database.prepare('update live_deliveries set due_at = @dueAt where delivery_id = @deliveryId')

  /** The target whose limit the last step lowered. */
  let last = ''

  function save(target: string, limitMs: number, now: number): void {
    saveLimit.run({ target, limitMs, now })
    reads.delete(target)
  }

  /** Whether all deliveries of the target follow the new limit. */
  function lower(target: string, limitMs: number, oldMs: number, now: number): boolean {
    // What is due later than the old limit allows was put off by a wrong clock. A claim takes it at once.
    const range = { from: now + limitMs, to: now + oldMs + CLAIM_WAITS_MS }
    const bringForward = (deliveryId: number) => {
      const share = EARLIEST + (1 - EARLIEST) * ((deliveryId * GOLDEN_RATIO) % 1)
      setDue.run({ deliveryId, dueAt: now + Math.round(limitMs * share) })
    }
    for (const background of [0, 1]) {
      const ids = putOff.all({ target, background, ...range, limit: CHANGED_A_STEP }) as number[]
      ids.forEach(bringForward)
      if (ids.length > 0) return false
    }
    // Those that wait for their call are in no index by time.
    const read = reads.get(target)
    const after = read?.limitMs === limitMs ? read.upTo : 0
    const rows = selectAfter.all({ after, limit: READ_A_STEP }) as LiveRow[]
    for (const row of rows) {
      if (row.target !== target || row.ready === 1) continue
      if (row.dueAt > range.from && row.dueAt <= range.to) bringForward(row.deliveryId)
    }
    const isDone = rows.length < READ_A_STEP
    if (!isDone) reads.set(target, { limitMs, upTo: rows.at(-1)!.deliveryId })
    return isDone
  }

  return {
    applyDelayLimits(targets, now) {
      const lowered = targets.flatMap(({ target, maxDelayMs: limitMs }) => {
        const oldMs = (selectLimit.get(target) as number | null | undefined) ?? null
        if (oldMs !== null && limitMs < oldMs) return [{ target, limitMs, oldMs }]
        if (oldMs !== limitMs) save(target, limitMs, now)
        return []
      })
      // One a step, in turn: many deliveries of one target do not keep the others waiting.
      const next = lowered.findIndex(({ target }) => target === last) + 1
      const unfinished = [...lowered.slice(next), ...lowered.slice(0, next)]
      while (unfinished.length > 0) {
        const { target, limitMs, oldMs } = unfinished[0]!
        last = target
        if (!lower(target, limitMs, oldMs, now)) break
        save(target, limitMs, now)
        unfinished.shift()
      }
      return unfinished.map(({ target }) => target)
    },

    rolledBack: () => reads.clear(),
  }
}
