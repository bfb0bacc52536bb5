import { InvalidArgumentError } from 'commander'
import {
  INSTANT_FORM,
  readAge,
  readEnd,
  readInstant,
  zoneOfDate as readZoneOfDate,
  UNITS,
} from '../documents/instants.ts'

export { iso, isoOrNull } from '../documents/instants.ts'

/** Commands read times without an offset as the operator's clock shows them. */
const ZONE = 'local'

/** See `readInstant`. Throws `InvalidArgumentError`. */
export function parseInstant(text: string, now: number): number {
  const instant = readInstant(text, now, ZONE)
  if (instant === undefined) throw new InvalidArgumentError(INSTANT_FORM)
  return instant
}

/** See `readEnd`. Throws `InvalidArgumentError`. */
export function parseEnd(text: string, now: number): number {
  const instant = readEnd(text, now, ZONE)
  if (instant === undefined) throw new InvalidArgumentError(INSTANT_FORM)
  return instant
}

/** See `zoneOfDate` of `documents/instants.ts`. */
export function zoneOfDate(text: string): string | null {
  return readZoneOfDate(text, ZONE)
}

/** A duration such as `10m` or `1h30m`, in milliseconds. Throws `InvalidArgumentError`. */
export function parseDuration(text: string): number {
  const ms = readAge(text)
  if (ms === undefined) throw new InvalidArgumentError('write a duration such as 30s, 10m or 1h30m')
  return Math.round(ms)
}

/** How long ago an instant is, or in how long it will be: `2h 5m ago`, `in 30s`; empty where there is none. */
export function ago(instant: number | null, now: number): string {
  if (instant === null) return ''
  return instant <= now ? `${duration(now - instant)} ago` : `in ${duration(instant - now)}`
}

/** A stretch of time in its two largest units, such as `2h 5m`. */
export function duration(ms: number): string {
  let rest = Math.max(0, Math.round(ms / UNITS.s)) * UNITS.s
  const parts: string[] = []
  for (const [unit, size] of Object.entries(UNITS)) {
    const amount = Math.floor(rest / size)
    rest -= amount * size
    if (amount > 0 || (unit === 's' && parts.length === 0)) parts.push(`${amount}${unit}`)
    else if (parts.length > 0) break
    if (parts.length === 2) break
  }
  return parts.join(' ')
}
