import type Database from 'better-sqlite3'
import type { ClockTrust } from '../../domain/clock-trust.ts'
import type { TargetSettings } from '../outbox.ts'

/**
 * Keeps for each target how long nothing could be tried: `stopped_ms`, and since `stopped_since`. A delivery's window
 * (`giveUpAfter`) does not count that time: `first_attempt_at` holds from when it counts, with everything up to the delivery's
 * own `stopped_ms` taken into account. Each settlement brings both up to date, so that a clock that was wrong is not
 * remembered.
 *
 * Only the relay writes this, by its own clock: a target that a command has paused is stopped once the relay sends nothing to
 * it, and a clock that is set meanwhile changes nothing. Synchronous, in a transaction of the caller's.
 */
export interface StoppedTimeStore {
  /** Marks every target as stopped since the last sign of the relay that ran before. Called once, before all others. */
  resumeStoppedTime(): void
  /** Marks targets as stopped or not: those that are not named are missing from the configuration. */
  applyStops(targets: readonly TargetSettings[], now: number): void
  /** Marks every target as stopped: the relay is about to end. */
  suspendTargets(now: number): void
  /** Adds time in which nothing could be tried, though the targets are not stopped. */
  skipTime(ms: number): void
}

/** SQL for the stopped time of a target up to `now`, in milliseconds. Both are expressions. */
export function stoppedMsOf(target: string, now: string): string {
  return `coalesce((
    select s.stopped_ms + iif(s.stopped_since is null, 0, max(0, ${now} - s.stopped_since))
    from target_states s
    where s.target = ${target}), 0)`
}

interface StateRow {
  readonly target: string
  readonly paused: 0 | 1
  readonly stoppedSince: number | null
}

/** `targetsWithDeliveries`: the names of targets with unfinished deliveries, whether they have a state or not. */
export function createStoppedTimeStore(
  database: Database.Database,
  targetsWithDeliveries: () => string[],
): StoppedTimeStore {
  const select = database.prepare('select target, paused, stopped_since as stoppedSince from target_states')
  const stop = database.prepare(`
    insert into target_states (target, stopped_since, updated_at)
    values (@target, @since, @since)
    on conflict (target) do update set stopped_since = excluded.stopped_since
    where stopped_since is null or stopped_since > excluded.stopped_since`)
  const add = database.prepare(`
    insert into target_states (target, stopped_since, updated_at)
    values (@target, @since, @since)
    on conflict do nothing`)
  // A clock that was set back meanwhile takes nothing away.
  const go = database.prepare(`
    update target_states
    set stopped_ms = stopped_ms + max(0, @now - stopped_since), stopped_since = null
    where target = @target and stopped_since is not null`)
  const stopAll = database.prepare('update target_states set stopped_since = @since where stopped_since is null')
  const skip = database.prepare('update target_states set stopped_ms = stopped_ms + @ms where stopped_since is null')
  const lastAttempt = database
    .prepare('select started_at + duration_ms from attempts order by attempt_seq desc limit 1')
    .pluck()
  const lastStart = database.prepare('select started_at from daemon_state').pluck()
  const clockTrust = database.prepare('select state from clock_trust').pluck()

  /** The newest instant at which the relay is known to have run. The clock is read into the outbox every minute. */
  function lastSign(): number | null {
    const trust = clockTrust.get() as string | undefined
    const { trusted, hold } = (trust === undefined ? {} : JSON.parse(trust)) as Partial<ClockTrust>
    const signs = [hold?.last.wallMs ?? trusted?.wallMs, lastAttempt.get(), lastStart.get()]
    const known = signs.filter((sign): sign is number => typeof sign === 'number')
    return known.length === 0 ? null : Math.max(...known)
  }

  return {
    resumeStoppedTime() {
      const since = lastSign()
      if (since === null) return
      stopAll.run({ since })
      for (const target of targetsWithDeliveries()) add.run({ target, since })
    },

    applyStops(targets, now) {
      const states = new Map((select.all() as StateRow[]).map((state) => [state.target, state]))
      const active = new Set(
        targets.flatMap(({ target, paused }) => (paused || states.get(target)?.paused === 1 ? [] : [target])),
      )
      for (const [target, { stoppedSince }] of states) {
        if (active.has(target) && stoppedSince !== null) go.run({ target, now })
      }
      const all = new Set([...states.keys(), ...targets.map(({ target }) => target), ...targetsWithDeliveries()])
      for (const target of all) {
        // Not before now: by a clock that was ahead, it would count nothing until then.
        if (!active.has(target) && (states.get(target)?.stoppedSince ?? now + 1) > now) stop.run({ target, since: now })
      }
    },

    suspendTargets: (now) => void stopAll.run({ since: now }),

    skipTime: (ms) => void skip.run({ ms }),
  }
}
