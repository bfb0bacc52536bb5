import { iso } from '../domain/iso.ts'

export { iso }

/** Milliseconds in each unit of time that is shown and read, the largest first. */
export const UNITS = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1_000 }
/** The same and those that are only read. */
const READ_UNITS: Readonly<Record<string, number>> = { w: 7 * UNITS.d, ...UNITS, ms: 1 }
const AGE = /^(?:\d+(?:\.\d+)?(?:ms|[wdhms]))+$/
const AGE_PART = /(\d+(?:\.\d+)?)(ms|[wdhms])/g
const TIME = String.raw`(\d\d?):(\d\d)(?::(\d\d(?:\.\d+)?))?`
const TIME_OF_DAY = new RegExp(`^${TIME}$`)
const ISO = new RegExp(String.raw`^(\d{4}-\d\d-\d\d)(?:[T ]${TIME})?(?: ?(Z|[+-]\d\d:?\d\d))?$`, 'i')

/** The form of an instant, for messages and help. */
export const INSTANT_FORM =
  'write an age such as 2h or 1h30m, a time such as 09:45, or an ISO time such as 2026-01-15T12:00Z'

/** Where times without an offset are read: in UTC, or in the zone of this machine. */
export type Zone = 'UTC' | 'local'

/**
 * Reads an instant as an operator writes it, in epoch milliseconds: an age (`2h`, `1h30m`, `2w`), a time of day, or an ISO date
 * with or without a time, which may follow a space. A time of day is the last such time; a date is its beginning. `zone` holds
 * where no offset is written. Undefined if the text is none of these.
 */
export function readInstant(text: string, now: number, zone: Zone): number | undefined {
  const age = readAge(text)
  if (age !== undefined) return Math.round(now - age)
  const today = timeToday(text, now, zone)
  if (today !== undefined) return today <= now ? today : timeToday(text, now - UNITS.d, zone)
  const [, date, hour = '0', minute = '00', second = '00', offset] = ISO.exec(text) ?? []
  return date === undefined ? undefined : instantOf(date, `${hour.padStart(2, '0')}:${minute}:${second}`, offset, zone)
}

/** Reads the end of a period, itself excluded: as `readInstant`, but a date is the day's end, and a time of day is today's. */
export function readEnd(text: string, now: number, zone: Zone): number | undefined {
  const instant = readInstant(text, now, zone)
  if (instant === undefined) return undefined
  if (zoneOfDate(text, zone) === null) return timeToday(text, now, zone) ?? instant
  const [, date, , , , offset] = ISO.exec(text)!
  // In a local zone, a day may have 23 or 25 hours.
  const next = iso(Date.parse(date!) + UNITS.d).slice(0, date!.length)
  return instantOf(next, '00:00:00', offset, zone)
}

/** The zone in which a date without a time is read, such as `UTC`, `Europe/Berlin` or `+02:00`; null if it is no such date. */
export function zoneOfDate(text: string, zone: Zone): string | null {
  const [whole, , hour, , , offset] = ISO.exec(text) ?? []
  if (whole === undefined || hour !== undefined) return null
  if (offset === undefined) return zone === 'UTC' ? zone : Intl.DateTimeFormat().resolvedOptions().timeZone
  return offset.toUpperCase() === 'Z' ? 'UTC' : offset
}

/** Reads a duration such as `2h`, `1h30m` or `1.5d`, in milliseconds, perhaps with a fraction. The largest unit comes first. */
export function readAge(text: string): number | undefined {
  if (!AGE.test(text)) return undefined
  const parts = [...text.matchAll(AGE_PART)].map(([, amount, unit]) => ({
    amount: Number(amount),
    ms: READ_UNITS[unit!]!,
  }))
  if (parts.some(({ ms }, index) => index > 0 && ms >= parts[index - 1]!.ms)) return undefined
  return parts.reduce((sum, { amount, ms }) => sum + amount * ms, 0)
}

function timeToday(text: string, now: number, zone: Zone): number | undefined {
  const [, hour, minute, second = '00'] = TIME_OF_DAY.exec(text) ?? []
  if (hour === undefined) return undefined
  const today = zone === 'UTC' ? iso(now).slice(0, 10) : localDate(now)
  return instantOf(today, `${hour.padStart(2, '0')}:${minute}:${second}`, undefined, zone)
}

function localDate(now: number): string {
  const date = new Date(now)
  const digits = (value: number) => String(value).padStart(2, '0')
  return `${date.getFullYear()}-${digits(date.getMonth() + 1)}-${digits(date.getDate())}`
}

/** Undefined if there is no such date or time. */
function instantOf(date: string, time: string, offset: string | undefined, zone: Zone): number | undefined {
  const day = Date.parse(date)
  // Date.parse takes February 30th for the 2nd of March.
  if (Number.isNaN(day) || !iso(day).startsWith(date)) return undefined
  // Without an offset, it reads a date with a time in the zone of this machine.
  const written = offset?.toUpperCase().replace(/^(...)(\d\d)$/, '$1:$2') ?? (zone === 'UTC' ? 'Z' : '')
  const instant = Date.parse(`${date}T${time}${written}`)
  return Number.isNaN(instant) ? undefined : instant
}

/** `iso` where there may be none. */
export function isoOrNull(instant: number | null): string | null {
  return instant === null ? null : iso(instant)
}
