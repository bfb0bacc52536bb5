import type Database from 'better-sqlite3'
import type { OpenBreaker, SavedThrottle, TargetState } from '../outbox.ts'
import { schemaOf } from './migrate.ts'

/** The schema version that introduced what is kept of probes. */
const PROBES_SINCE = 12
/** And of throttles. */
export const THROTTLES_SINCE = 13

export interface TargetStateStore {
  targetStates(): TargetState[]
  saveBreaker(target: string, breaker: OpenBreaker | null, now: number): void
  saveThrottle(target: string, throttle: SavedThrottle | null, now: number): void
  setPaused(target: string, paused: boolean, now: number): void
}

interface TargetStateRow {
  readonly target: string
  readonly paused: number
  readonly probeAt: number | null
  readonly cooldownMs: number | null
  readonly lastProbe: number | null
  readonly configHash: string | null
  readonly throttledUntil: number | null
  readonly throttles: number
}

export function createTargetStateStore(database: Database.Database): TargetStateStore {
  // An operator reads older outboxes too.
  const schema = schemaOf(database)
  const isOlder = schema < PROBES_SINCE
  const hasThrottles = schema >= THROTTLES_SINCE
  const select = database.prepare(`
    select target, paused, probe_at as probeAt, cooldown_ms as cooldownMs,
      ${isOlder ? 'null' : 'probe_delivery_id'} as lastProbe, ${isOlder ? 'null' : 'config_hash'} as configHash,
      ${hasThrottles ? 'throttled_until' : 'null'} as throttledUntil, ${hasThrottles ? 'throttles' : '0'} as throttles
    from target_states
    order by target`)
  const upsertBreaker = isOlder
    ? undefined
    : database.prepare(`
    insert into target_states (target, probe_at, cooldown_ms, probe_delivery_id, config_hash, updated_at)
    values (@target, @probeAt, @cooldownMs, @lastProbe, @configHash, @now)
    on conflict (target) do update
      set probe_at = excluded.probe_at,
          cooldown_ms = excluded.cooldown_ms,
          probe_delivery_id = excluded.probe_delivery_id,
          config_hash = excluded.config_hash,
          updated_at = excluded.updated_at`)
  const upsertThrottle = hasThrottles
    ? database.prepare(`
    insert into target_states (target, throttled_until, throttles, updated_at)
    values (@target, @until, @inARow, @now)
    on conflict (target) do update
      set throttled_until = excluded.throttled_until,
          throttles = excluded.throttles,
          updated_at = excluded.updated_at`)
    : undefined
  const upsertPaused = database.prepare(`
    insert into target_states (target, paused, updated_at)
    values (@target, @paused, @now)
    on conflict (target) do update set paused = excluded.paused, updated_at = excluded.updated_at`)

  return {
    targetStates: () =>
      (select.all() as TargetStateRow[]).map(({ target, paused, throttledUntil, throttles, ...breaker }) => ({
        target,
        paused: paused === 1,
        breaker: openBreaker(breaker),
        throttle: throttledUntil === null ? null : { until: throttledUntil, inARow: throttles },
      })),
    saveBreaker(target, breaker, now) {
      const { probeAt, cooldownMs, lastProbe = null, configHash = null } = breaker ?? CLOSED
      upsertBreaker!.run({ target, now, probeAt, cooldownMs, lastProbe, configHash })
    },
    saveThrottle(target, throttle, now) {
      upsertThrottle!.run({ target, now, until: throttle?.until ?? null, inARow: throttle?.inARow ?? 0 })
    },
    setPaused: (target, paused, now) => void upsertPaused.run({ target, paused: paused ? 1 : 0, now }),
  }
}

const CLOSED = { probeAt: null, cooldownMs: null, lastProbe: null, configHash: null }

function openBreaker(
  row: Pick<TargetStateRow, 'probeAt' | 'cooldownMs' | 'lastProbe' | 'configHash'>,
): OpenBreaker | null {
  const { probeAt, cooldownMs, lastProbe, configHash } = row
  if (probeAt === null || cooldownMs === null) return null
  return { probeAt, cooldownMs, ...(lastProbe !== null && { lastProbe }), ...(configHash !== null && { configHash }) }
}
