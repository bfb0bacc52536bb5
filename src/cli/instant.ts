import { InvalidArgumentError } from 'commander'
import { INSTANT_FORM, readAge, readEnd, readInstant, UNITS } from '../documents/instants.ts'

export { iso, isoOrNull, zoneOfDate } from '../documents/instants.ts'

/** See `readInstant`. Throws `InvalidArgumentError`. */
export function parseInstant(text: string, now: number): number {
  const instant = readInstant(text, now)
  if (instant === undefined) throw new InvalidArgumentError(INSTANT_FORM)
  return instant
}

/** See `readEnd`. Throws `InvalidArgumentError`. */
export function parseEnd(text: string, now: number): number {
  const instant = readEnd(text, now)
  if (instant === undefined) throw new InvalidArgumentError(INSTANT_FORM)
  return instant
}

/** A stretch of time such as `10m`, in milliseconds. Throws `InvalidArgumentError`. */
export function parseDuration(text: string): number {
  const ms = readAge(text)
  if (ms === undefined) throw new InvalidArgumentError('write a time such as 30s, 10m or 2h')
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
