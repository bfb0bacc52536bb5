import type { Forecast } from '../operations/forecasts.ts'
import { duration } from './instant.ts'
import { counted } from './printing.ts'

/** How long what was added to queues takes, or why it waits, a line each; none for a target of which nothing is known. */
export function forecastText(forecasts: readonly Forecast[], now: number): string {
  return forecasts
    .flatMap((forecast) => [...lines(forecast, now)])
    .map((line) => `${line}\n`)
    .join('')
}

function* lines({ target, added, queued, held, waitsFor, rate, durationMs }: Forecast, now: number): Iterable<string> {
  const what = `${counted(queued, 'delivery')} queued for ${target}`
  const before = queued - added
  const all = before > 0 ? `${what} (${before} before these)` : what
  if (waitsFor !== null && queued > 0) {
    yield `${what} ${queued === 1 ? 'waits' : 'wait'}: ${reason(target, waitsFor, now)}`
  } else if (rate?.from === 'measured') {
    yield `${all} at ${rateInWords(rate)} as in the last 5 minutes: about ${duration(durationMs!)}`
  } else if (rate !== null && queued > rate.max) {
    yield `${all} at most ${rateInWords(rate)}: about ${duration(durationMs!)}`
  }
  if (held > 0) {
    yield `${counted(held, 'delivery')} for ${target} held behind dead ones; deliveries list --holding`
  }
}

function reason(target: string, wait: NonNullable<Forecast['waitsFor']>, now: number): string {
  switch (wait.reason) {
    case 'not_configured':
      return 'it is not configured'
    case 'paused':
      return wait.by === 'configuration' ? 'the configuration pauses it' : `it is paused; targets resume ${target}`
    case 'circuit':
      return `circuit open, ${wait.probeAt > now ? `probe in ${duration(wait.probeAt - now)}` : 'probe due'}`
    case 'throttled':
      return `throttled by the target for another ${duration(Math.max(0, wait.until - now))}`
  }
}

const UNITS: Readonly<Record<number, string>> = { 1000: 's', 60000: 'min', 3600000: 'h', 86400000: 'd' }

/** `20/s`, or `10 per 5s` where the period is not one unit. */
export function rateInWords({ max, perMs }: { readonly max: number; readonly perMs: number }): string {
  const unit = UNITS[perMs]
  if (unit !== undefined) return `${max}/${unit}`
  return `${max} per ${perMs < 1_000 ? `${perMs}ms` : duration(perMs)}`
}
