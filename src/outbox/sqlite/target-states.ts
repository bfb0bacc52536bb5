import type Database from 'better-sqlite3'
import type { OpenBreaker, TargetState } from '../outbox.ts'

export interface TargetStateStore {
  targetStates(): TargetState[]
  saveBreaker(target: string, breaker: OpenBreaker | null, now: number): void
  setPaused(target: string, paused: boolean, now: number): void
}

interface TargetStateRow {
  readonly target: string
  readonly paused: number
  readonly probeAt: number | null
  readonly cooldownMs: number | null
}

export function createTargetStateStore(database: Database.Database): TargetStateStore {
  const select = database.prepare(`
    select target, paused, probe_at as probeAt, cooldown_ms as cooldownMs
    from target_states
    order by target`)
  const upsertBreaker = database.prepare(`
    insert into target_states (target, probe_at, cooldown_ms, updated_at)
    values (@target, @probeAt, @cooldownMs, @now)
    on conflict (target) do update
      set probe_at = excluded.probe_at, cooldown_ms = excluded.cooldown_ms, updated_at = excluded.updated_at`)
  const upsertPaused = database.prepare(`
    insert into target_states (target, paused, updated_at)
    values (@target, @paused, @now)
    on conflict (target) do update set paused = excluded.paused, updated_at = excluded.updated_at`)

  return {
    targetStates: () =>
      (select.all() as TargetStateRow[]).map(({ target, paused, probeAt, cooldownMs }) => ({
        target,
        paused: paused === 1,
        breaker: probeAt === null || cooldownMs === null ? null : { probeAt, cooldownMs },
      })),
    saveBreaker(target, breaker, now) {
      upsertBreaker.run({ target, now, probeAt: breaker?.probeAt ?? null, cooldownMs: breaker?.cooldownMs ?? null })
    },
    setPaused: (target, paused, now) => void upsertPaused.run({ target, paused: paused ? 1 : 0, now }),
  }
}
