/** `date T time`, up to nine fraction digits, an offset or none. */
const ISO_8601 =
  /^(\d{4})-(\d{2})-(\d{2})[Tt ](\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?(?:([Zz])|([+-])(\d{2})(?::?(\d{2}))?)?$/

/**
 * Reads an ISO 8601 time as epoch milliseconds, or null where it is none. Without an offset it is UTC: `Date.parse`
 * would take it as the machine's own zone. Fractions beyond milliseconds are cut off.
 */
export function parseTimestamp(text: string): number | null {
  const match = ISO_8601.exec(text)
  if (match === null) return null
  const [, year, month, day, hour, minute, second, fraction = '', , sign, offsetHours, offsetMinutes = '0'] = match
  const fields = [year, month, day, hour, minute, second].map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  const utc = Date.UTC(fields[0], fields[1] - 1, fields[2], fields[3], fields[4], fields[5])
  if (!isSameTime(new Date(utc), fields)) return null
  const offset = sign === undefined ? 0 : Number(`${sign}1`) * (Number(offsetHours) * 60 + Number(offsetMinutes))
  if (Number(offsetMinutes) > 59 || Math.abs(offset) > 24 * 60) return null
  return utc + Number(fraction.padEnd(3, '0').slice(0, 3)) - offset * 60_000
}

/** `Date.UTC` makes 1 March of 30 February, and 1999 of the year 99; such texts are no times. */
function isSameTime(date: Date, [year, month, day, hour, minute, second]: readonly number[]): boolean {
  return (
    date.getUTCFullYear() === year &&
    date.getUTCMonth() + 1 === month &&
    date.getUTCDate() === day &&
    date.getUTCHours() === hour &&
    date.getUTCMinutes() === minute &&
    date.getUTCSeconds() === second
  )
}
