const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/** The three forms of an HTTP date (RFC 9110, 5.6.7); the name of the day is not checked. */
const DATE_FORMS = [
  /^[A-Z][a-z]{2}, (?<day>\d\d) (?<month>[A-Z][a-z]{2}) (?<year>\d{4}) (?<time>\d\d:\d\d:\d\d) GMT$/,
  /^[A-Z][a-z]+, (?<day>\d\d)-(?<month>[A-Z][a-z]{2})-(?<year>\d\d) (?<time>\d\d:\d\d:\d\d) GMT$/,
  /^[A-Z][a-z]{2} (?<month>[A-Z][a-z]{2}) (?<day>[ \d]\d) (?<time>\d\d:\d\d:\d\d) (?<year>\d{4})$/,
]

/**
 * How long a Retry-After header asks to wait from `now`, in milliseconds: whole seconds or a date. Undefined where there
 * is none, it is garbage, or it asks for no wait at all. Not capped; however large, it stays a safe integer.
 */
export function retryAfterMs(header: string | undefined, now: number): number | undefined {
  const text = header?.trim() ?? ''
  const wait = /^\d+$/.test(text) ? Number(text) * 1000 : parseHttpDate(text, now) - now
  return wait > 0 ? Math.min(wait, Number.MAX_SAFE_INTEGER) : undefined
}

/** Epoch milliseconds, or NaN. */
function parseHttpDate(text: string, now: number): number {
  for (const form of DATE_FORMS) {
    const groups = form.exec(text)?.groups
    if (groups === undefined) continue
    const day = Number(groups.day)
    const [hours, minutes, seconds] = groups.time!.split(':').map(Number) as [number, number, number]
    if (hours > 23 || minutes > 59 || seconds > 60) return Number.NaN
    const date = new Date(Date.UTC(fullYear(groups.year!, now), MONTHS.indexOf(groups.month!), day))
    // An unknown month, or a day that the month does not have, ends up on another day.
    if (!MONTHS.includes(groups.month!) || date.getUTCDate() !== day) return Number.NaN
    return date.setUTCHours(hours, minutes, seconds)
  }
  return Number.NaN
}

/** A year of two digits that would lie more than 50 years ahead means the last one with these digits. */
function fullYear(digits: string, now: number): number {
  const year = Number(digits)
  if (digits.length === 4) return year
  const current = new Date(now).getUTCFullYear()
  const inThisCentury = current - (current % 100) + year
  return inThisCentury > current + 50 ? inThisCentury - 100 : inThisCentury
}
