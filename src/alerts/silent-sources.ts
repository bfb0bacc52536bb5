import type { Clock, Stopwatch } from '../domain/clock.ts'
import { type Alert, sourceResumed, sourceSilent } from './relay-event.ts'
import { intervalFor, type Watch } from './watches.ts'

export interface SilentSourcesOptions {
  readonly clock: Clock
  readonly stopwatch: Stopwatch
  readonly raise: (alert: Alert) => void
  /** Hears of each genuine event, for a silence that was reported before. */
  readonly recovered: (alert: Alert) => void
}

export interface SilentSources extends Watch {
  /**
   * Says which sources are watched: by name, how long each may be silent, in milliseconds. What was heard of those that
   * were watched before is not forgotten.
   */
  expect(withinMs: ReadonlyMap<string, number>): void
  /** A genuine event has come in, new or seen before. */
  heard(source: string): void
  /** When the last came, in epoch milliseconds; where none has, when the listening began. */
  heardAt(source: string): number
}

/**
 * Tells of a source that has had no genuine event for too long, counted from the start if none has come since: once,
 * until one comes again. The silence is measured with the stopwatch: a wall clock that is moved makes none.
 */
export function watchSilence({ clock, stopwatch, raise, recovered }: SilentSourcesOptions): SilentSources {
  const startedAt = clock.now()
  const lastEvents = new Map<string, number>()
  let sources = new Map<string, { limitMs: number; heardAt: number; lastEventAt: number | null; told: boolean }>()
  return {
    name: 'silent sources',
    get everyMs() {
      return intervalFor(Math.min(...[...sources.values()].map(({ limitMs }) => limitMs)))
    },
    expect(withinMs) {
      const unheard = { heardAt: stopwatch(), lastEventAt: null, told: false }
      sources = new Map([...withinMs].map(([name, limitMs]) => [name, { ...(sources.get(name) ?? unheard), limitMs }]))
    },
    heardAt: (name) => lastEvents.get(name) ?? startedAt,
    heard(name) {
      lastEvents.set(name, clock.now())
      recovered(sourceResumed(name))
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
