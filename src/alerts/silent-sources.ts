import type { Clock, Stopwatch } from '../domain/clock.ts'
import { type Alert, sourceSilent } from './relay-event.ts'
import { intervalFor, type Watch } from './watches.ts'

export interface SilentSourcesOptions {
  /** By name, how long each source may be silent, in milliseconds. Others are not watched. */
  readonly expectWithinMs: ReadonlyMap<string, number>
  readonly clock: Clock
  readonly stopwatch: Stopwatch
  readonly raise: (alert: Alert) => void
}

export interface SilentSources extends Watch {
  /** A genuine event has come in, new or seen before. */
  heard(source: string): void
}

/**
 * Tells of a source that has had no genuine event for too long, counted from the start if none has come since: once,
 * until one comes again. The silence is measured with the stopwatch: a wall clock that is moved makes none.
 */
export function watchSilence({ expectWithinMs, clock, stopwatch, raise }: SilentSourcesOptions): SilentSources {
  const startedAt = stopwatch()
  const sources = new Map(
    [...expectWithinMs].map(([name, limitMs]) => {
      return [name, { limitMs, heardAt: startedAt, lastEventAt: null as number | null, told: false }]
    }),
  )
  return {
    name: 'silent sources',
    everyMs: intervalFor(Math.min(...expectWithinMs.values())),
    heard(name) {
      const source = sources.get(name)
      if (source === undefined) return
      source.heardAt = stopwatch()
      source.lastEventAt = clock.now()
      source.told = false
    },
    check() {
      for (const [name, source] of sources) {
        if (source.told || stopwatch() - source.heardAt <= source.limitMs) continue
        source.told = true
        raise(sourceSilent(name, source.limitMs, source.lastEventAt))
      }
    },
  }
}
