import { InvalidArgumentError } from 'commander'

const UNITS = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1_000 }
const AGE = /^(\d+(?:\.\d+)?)([dhms])$/
const ISO = /^(\d{4}-\d\d-\d\d)(T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?$/i

/**
 * An instant as an operator writes it, in epoch milliseconds: an age such as `2h`, or an ISO time, which is in UTC where
 * it does not say otherwise, as all times that the relay shows. Throws `InvalidArgumentError`.
 */
export function parseInstant(text: string, now: number): number {
  const [, amount, unit] = AGE.exec(text) ?? []
  if (amount !== undefined) return Math.round(now - Number(amount) * UNITS[unit as keyof typeof UNITS])
  const [, date, time, zone] = ISO.exec(text) ?? []
  const instant = date === undefined ? Number.NaN : Date.parse(time === undefined || zone ? text : `${text}Z`)
  // Date.parse takes February 30th for the 2nd of March.
  if (!Number.isNaN(instant) && iso(Date.parse(date!)).startsWith(date!)) return instant
  throw new InvalidArgumentError('write an age such as 2h or 1.5d, or an ISO time such as 2026-01-15T12:00Z')
}

/** A stretch of time such as `10m`, in milliseconds. Throws `InvalidArgumentError`. */
export function parseDuration(text: string): number {
  const [, amount, unit] = AGE.exec(text) ?? []
  if (amount === undefined) throw new InvalidArgumentError('write a time such as 30s, 10m or 2h')
  return Math.round(Number(amount) * UNITS[unit as keyof typeof UNITS])
}

export function iso(instant: number): string {
  return new Date(instant).toISOString()
}

/** `iso` where there may be none. */
export function isoOrNull(instant: number | null): string | null {
  return instant === null ? null : iso(instant)
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
