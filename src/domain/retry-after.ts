const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']

/** What is read of a header: more is not a hint. */
const LONGEST_VALUE = 256
/** Values of a header that is repeated, or that a proxy has joined with commas. */
const MOST_VALUES = 16
/** A larger number of RateLimit-Reset is an instant in epoch seconds: as a wait it would be over 30 years. */
const EPOCH_FROM_SECONDS = 1_000_000_000
/** And from here on one in epoch milliseconds. */
const EPOCH_FROM_MS = 100_000_000_000

/**
 * HTTP dates (RFC 9110, 5.6.7) and what services send instead: another name of the zone, a numeric offset, one digit for the
 * day, no day of the week. That name is not checked.
 */
const ZONE = String.raw`(?: (?<zone>GMT|UTC|Z|[+-]\d{2}:?\d{2}))?`
const TIME = String.raw`(?<time>\d{1,2}:\d\d:\d\d)`
const DATE_FORMS = [
  new RegExp(
    String.raw`^(?:[a-z]{3,9},? +)?(?<day>\d{1,2})[ -](?<month>[a-z]{3})[ -](?<year>\d{4}|\d\d) ${TIME}${ZONE}$`,
    'i',
  ),
  new RegExp(String.raw`^[a-z]{3} (?<month>[a-z]{3}) {1,2}(?<day>\d{1,2}) ${TIME}(?: GMT| UTC)? (?<year>\d{4})$`, 'i'),
]
const ISO_FORM = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(?<zone>Z| ?UTC| ?GMT|[+-]\d\d:?\d\d)?$/i
/** A day before the first of a header's dates ends with a comma, which is not the end of a value. */
const BETWEEN_VALUES = /(?<!\b(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*) *, */i

const UNITS_MS: Readonly<Record<string, number>> = { '': 1_000, ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }

/** Headers by which a target asks for a pause; each as received. */
export type WaitHints = Readonly<Record<string, string | readonly string[] | undefined>>

const MS_HEADERS = ['retry-after-ms', 'x-ms-retry-after-ms', 'x-retry-after-ms']
const RESET_HEADERS = ['ratelimit-reset', 'x-ratelimit-reset', 'x-rate-limit-reset', 'x-ratelimit-reset-after']

/** The headers of an answer that `waitHintMs` reads; undefined where it has none. */
export function waitHintsOf(headers: WaitHints): WaitHints | undefined {
  let found: Record<string, string | readonly string[] | undefined> | undefined
  for (const name of ['retry-after', ...MS_HEADERS, ...RESET_HEADERS]) {
    if (headers[name] === undefined) continue
    found ??= {}
    found[name] = headers[name]
  }
  return found
}

/**
 * How long an answer asks to wait from `now`, in milliseconds: the longest of its hints. `isThrottled`: RateLimit-Reset counts where
 * the others are missing; services send it with other answers as well. Undefined where there is no hint, or none that makes
 * sense. Not capped; however large, it stays a safe integer.
 */
export function waitHintMs(hints: WaitHints | undefined, isThrottled: boolean, now: number): number | undefined {
  if (hints === undefined) return undefined
  const waits = [
    ...valuesOf(hints['retry-after']).map((value) => durationOrDateMs(value, now)),
    ...MS_HEADERS.flatMap((name) => valuesOf(hints[name])).map((value) => numberOf(value)),
  ]
  const longest = longestOf(waits)
  if (longest !== undefined || !isThrottled) return longest
  return longestOf(RESET_HEADERS.flatMap((name) => valuesOf(hints[name])).map((value) => resetMs(value, now)))
}

/** The same for a Retry-After header alone. */
export function retryAfterMs(header: string | readonly string[] | undefined, now: number): number | undefined {
  return waitHintMs({ 'retry-after': header }, false, now)
}

function longestOf(waits: readonly number[]): number | undefined {
  const sensible = waits.filter((wait) => wait > 0).map((wait) => Math.min(Math.ceil(wait), Number.MAX_SAFE_INTEGER))
  return sensible.length === 0 ? undefined : Math.max(...sensible)
}

function valuesOf(header: string | readonly string[] | undefined): readonly string[] {
  if (header === undefined) return []
  const lines = typeof header === 'string' ? [header] : header.slice(0, MOST_VALUES)
  return lines
    .flatMap((line) => line.slice(0, LONGEST_VALUE).split(BETWEEN_VALUES))
    .slice(0, MOST_VALUES)
    .map((value) =>
      value
        .trim()
        .replace(/^"(.*)"$/, '$1')
        .trim(),
    )
}

/** NaN for what is not a decimal number. */
function numberOf(text: string): number {
  return /^\d+(\.\d*)?$/.test(text) ? Number(text) : Number.NaN
}

function durationOrDateMs(text: string, now: number): number {
  const { number, unit = '' } = /^(?<number>\d+(?:\.\d*)?) ?(?<unit>ms|s|m|h)?$/i.exec(text)?.groups ?? {}
  if (number !== undefined) return Number(number) * UNITS_MS[unit.toLowerCase()]!
  return parseDate(text, now) - now
}

/** Seconds from now, an instant in epoch seconds or milliseconds, or a date. */
function resetMs(text: string, now: number): number {
  const number = numberOf(text)
  if (Number.isNaN(number)) return durationOrDateMs(text, now)
  if (number >= EPOCH_FROM_MS) return number - now
  return number >= EPOCH_FROM_SECONDS ? number * 1_000 - now : number * 1_000
}

/** Epoch milliseconds, or NaN. */
function parseDate(text: string, now: number): number {
  const iso = ISO_FORM.exec(text)
  if (iso !== null) return parseIso(text, iso.groups?.zone)
  for (const form of DATE_FORMS) {
    const groups = form.exec(text)?.groups
    if (groups === undefined) continue
    const day = Number(groups.day)
    const [hours, minutes, seconds] = groups.time!.split(':').map(Number) as [number, number, number]
    if (hours > 23 || minutes > 59 || seconds > 60) return Number.NaN
    const month = MONTHS.indexOf(groups.month!.toLowerCase())
    const date = new Date(Date.UTC(fullYear(groups.year!, now), month, day))
    // An unknown month, or a day that the month does not have, ends up on another day.
    if (month < 0 || date.getUTCDate() !== day) return Number.NaN
    return date.setUTCHours(hours, minutes, seconds) - offsetMs(groups.zone)
  }
  return Number.NaN
}

/** An instant without a zone is UTC. */
function parseIso(text: string, zone: string | undefined): number {
  const local = text.slice(0, text.length - (zone?.length ?? 0)).replace(' ', 'T')
  const instant = new Date(`${local}Z`)
  // JavaScript takes February 30 for March 2.
  const isADay = !Number.isNaN(instant.getTime()) && instant.toISOString().slice(0, 10) === local.slice(0, 10)
  return isADay ? instant.getTime() - offsetMs(zone?.trim()) : Number.NaN
}

function offsetMs(zone: string | undefined): number {
  const [, sign, hours, minutes] = /^([+-])(\d\d):?(\d\d)$/.exec(zone ?? '') ?? []
  if (sign === undefined) return 0
  return (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes)) * 60_000
}

/** A year of two digits that would lie more than 50 years ahead means the last one with these digits. */
function fullYear(digits: string, now: number): number {
  const year = Number(digits)
  if (digits.length === 4) return year
  const current = new Date(now).getUTCFullYear()
  const inThisCentury = current - (current % 100) + year
  return inThisCentury > current + 50 ? inThisCentury - 100 : inThisCentury
}
