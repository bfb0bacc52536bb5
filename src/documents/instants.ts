import { iso } from '../domain/iso.ts'

export { iso }

/** Milliseconds in each unit of time that is shown and read, the largest first. */
export const UNITS = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1_000 }
const AGE = /^(\d+(?:\.\d+)?)([dhms])$/
const ISO = /^(\d{4}-\d\d-\d\d)(T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?$/i

/** What an operator is told who has written something else. */
export const INSTANT_FORM = 'write an age such as 2h or 1.5d, or an ISO time such as 2026-01-15T12:00Z'

/**
 * An instant as an operator writes it, in epoch milliseconds: an age such as `2h`, or an ISO time, which is in UTC where
 * it does not say otherwise, as all times that the relay shows. Undefined where it is neither.
 */
export function readInstant(text: string, now: number): number | undefined {
  const age = readAge(text)
  if (age !== undefined) return Math.round(now - age)
  const [, date, time, zone] = ISO.exec(text) ?? []
  const instant = date === undefined ? Number.NaN : Date.parse(time === undefined || zone ? text : `${text}Z`)
  // Date.parse takes February 30th for the 2nd of March.
  return !Number.isNaN(instant) && iso(Date.parse(date!)).startsWith(date!) ? instant : undefined
}

/** A stretch of time such as `2h` or `1.5d`, in milliseconds, perhaps with a fraction; undefined where it is none. */
export function readAge(text: string): number | undefined {
  const [, amount, unit] = AGE.exec(text) ?? []
  return amount === undefined ? undefined : Number(amount) * UNITS[unit as keyof typeof UNITS]
}

/** `iso` where there may be none. */
export function isoOrNull(instant: number | null): string | null {
  return instant === null ? null : iso(instant)
}
