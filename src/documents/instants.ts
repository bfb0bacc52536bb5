import { iso } from '../domain/iso.ts'

export { iso }

/** Milliseconds in each unit of time that is shown and read, the largest first. */
export const UNITS = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1_000 }
const AGE = /^(\d+(?:\.\d+)?)([dhms])$/
const ISO = /^(\d{4}-\d\d-\d\d)(T\d\d:\d\d(?::\d\d(?:\.\d+)?)?)?(Z|[+-]\d\d:\d\d)?$/i

/** What an operator is told who has written something else. */
export const INSTANT_FORM = 'write an age such as 2h or 1.5d, or an ISO time such as 2026-01-15T12:00Z'

/**
 * An instant as an operator writes it, in epoch milliseconds: an age such as `2h`, an ISO time, or a date, which is its
 * beginning. It is in UTC unless it has an offset, as all times that the relay shows. Undefined where it is none of these.
 */
export function readInstant(text: string, now: number): number | undefined {
  const age = readAge(text)
  if (age !== undefined) return Math.round(now - age)
  const [, date, time = 'T00:00', zone = 'Z'] = ISO.exec(text) ?? []
  const instant = date === undefined ? Number.NaN : Date.parse(`${date}${time}${zone}`)
  // Date.parse takes February 30th for the 2nd of March.
  return !Number.isNaN(instant) && iso(Date.parse(date!)).startsWith(date!) ? instant : undefined
}

/** The same for the end of a time, itself excluded: a date is the day's end, so the beginning of the next. */
export function readEnd(text: string, now: number): number | undefined {
  const instant = readInstant(text, now)
  return instant !== undefined && zoneOfDate(text) !== null ? instant + UNITS.d : instant
}

/** The zone in which a date without a time is read, such as `UTC` or `+02:00`; null where it is no such date. */
export function zoneOfDate(text: string): string | null {
  const [whole, , time, zone = 'Z'] = ISO.exec(text) ?? []
  if (whole === undefined || time !== undefined) return null
  return zone.toUpperCase() === 'Z' ? 'UTC' : zone
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
