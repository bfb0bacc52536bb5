import fc from 'fast-check'
import t from 'tap'
import { parseTimestamp } from '../../src/domain/timestamp.ts'
import { anyText } from '../any-text.ts'

const NOON = Date.UTC(2026, 0, 15, 12)

t.test('without an offset a time is UTC, whatever the zone of the machine', async (t) => {
  t.equal(parseTimestamp('2026-01-15T12:00:00'), NOON)
  // Times that do not exist, or exist twice, on some wall: New York's two changes of clock, and the day Apia left out.
  t.equal(parseTimestamp('2026-03-08T02:30:00'), Date.UTC(2026, 2, 8, 2, 30))
  t.equal(parseTimestamp('2026-11-01T01:30:00'), Date.UTC(2026, 10, 1, 1, 30))
  t.equal(parseTimestamp('2011-12-30T10:00:00'), Date.UTC(2011, 11, 30, 10))
})

t.test('Z and offsets are heeded', async (t) => {
  const sameInstant = [
    '2026-01-15T12:00:00Z',
    '2026-01-15T12:00:00z',
    '2026-01-15t12:00:00Z',
    '2026-01-15 12:00:00Z',
    '2026-01-15T12:00:00+00:00',
    '2026-01-15T12:00:00-00:00',
    '2026-01-15T13:00:00+01:00',
    '2026-01-15T07:00:00-05:00',
    '2026-01-15T17:30:00+05:30',
    '2026-01-15T17:45:00+0545',
    '2026-01-16T02:00:00+14',
    '2026-01-15T00:00:00-12:00',
    '2026-01-15T08:30:00-03:30',
  ]
  for (const text of sameInstant) t.equal(parseTimestamp(text), NOON, text)
})

t.test('an offset can lead into another day, month and year', async (t) => {
  t.equal(parseTimestamp('2026-01-01T00:30:00+01:00'), Date.UTC(2025, 11, 31, 23, 30))
  t.equal(parseTimestamp('2025-12-31T23:30:00-01:00'), Date.UTC(2026, 0, 1, 0, 30))
})

t.test('of 0 to 9 fraction digits the first three count', async (t) => {
  const digits = '987654321'
  for (let length = 0; length <= 9; length += 1) {
    const fraction = length === 0 ? '' : `.${digits.slice(0, length)}`
    const expected = NOON + Number(digits.slice(0, Math.min(length, 3)).padEnd(3, '0'))
    for (const offset of ['', 'Z', '+00:00']) {
      const text = `2026-01-15T12:00:00${fraction}${offset}`
      t.equal(parseTimestamp(text), length === 0 ? NOON : expected, text)
    }
  }
  t.equal(parseTimestamp('2026-01-15T12:00:00.9999999'), NOON + 999, 'cut, not rounded')
})

t.test('days that a month does not have are refused', async (t) => {
  const texts = ['2026-02-30', '2026-02-29', '2026-04-31', '2026-01-32', '2026-01-00', '2026-13-01', '2026-00-10']
  for (const date of texts) t.equal(parseTimestamp(`${date}T12:00:00`), null, date)
  t.equal(parseTimestamp('2028-02-29T12:00:00'), Date.UTC(2028, 1, 29, 12))
  t.equal(parseTimestamp('2100-02-29T12:00:00'), null)
})

t.test('hour 24, minute 60 and second 60 are refused', async (t) => {
  for (const time of ['24:00:00', '25:00:00', '12:60:00', '12:00:60', '23:59:60', '99:99:99']) {
    t.equal(parseTimestamp(`2026-01-15T${time}`), null, time)
  }
})

t.test('years that Date would move by a century are refused', async (t) => {
  for (const year of ['0000', '0001', '0099']) t.equal(parseTimestamp(`${year}-01-15T12:00:00`), null, year)
  t.equal(parseTimestamp('0100-01-15T12:00:00'), Date.parse('0100-01-15T12:00:00Z'))
  t.equal(parseTimestamp('9999-12-31T23:59:59.999'), Date.parse('9999-12-31T23:59:59.999Z'))
})

t.test('offsets that no zone has are refused', async (t) => {
  for (const offset of [
    '+24:01',
    '-25:00',
    '+99:00',
    '+05:60',
    '+5',
    '+5:30',
    '+05:3',
    '+05:',
    '+',
    '-',
    '+05:30:00',
    'ZZ',
  ]) {
    t.equal(parseTimestamp(`2026-01-15T12:00:00${offset}`), null, offset)
  }
})

t.test('what is not quite an ISO 8601 time is refused', async (t) => {
  const texts = [
    '',
    ' ',
    '2026-01-15',
    '2026-01-15T12:00',
    '2026-01-15T12:00Z',
    '2026-1-15T12:00:00',
    '26-01-15T12:00:00',
    '+002026-01-15T12:00:00',
    '20260115T120000Z',
    '2026-01-15T12:00:00.',
    '2026-01-15T12:00:00.Z',
    '2026-01-15T12:00:00,5',
    '2026-01-15T12:00:00.1234567890',
    '2026-01-15T12:00:00 Z',
    '2026-01-15T12:00:00 +00:00',
    ' 2026-01-15T12:00:00',
    '2026-01-15T12:00:00 ',
    '2026-01-15T12:00:00\n',
    '2026-01-15T12:00:00Z\r\n',
    '2026-01-15T12:00:00UTC',
    '2026-01-15  12:00:00',
    '2026-01-15T12:00:00Z, 2026-01-15T12:00:00Z',
    '٢٠٢٦-01-15T12:00:00',
    '1768478400',
    '1768478400000',
    'Thu, 15 Jan 2026 12:00:00 GMT',
    'now',
    'Infinity',
    '2026-W03-4T12:00:00',
    '2026-01-15T-1:00:00',
  ]
  for (const text of texts) t.equal(parseTimestamp(text), null, JSON.stringify(text))
})

t.test('texts of any length are answered at once', async (t) => {
  const texts = [
    '2'.repeat(100_000),
    `2026-01-15T12:00:00.${'1'.repeat(100_000)}`,
    ' '.repeat(100_000),
    '-'.repeat(100_000),
  ]
  for (const text of texts) t.equal(parseTimestamp(text), null)
})

t.test('every instant comes back from its own text, naive, with Z or with any offset', async (t) => {
  const instant = fc.integer({ min: Date.UTC(1900, 0, 1), max: Date.UTC(9999, 0, 1) })
  fc.assert(
    fc.property(instant, fc.integer({ min: -24 * 60, max: 24 * 60 }), (at, offset) => {
      const naive = (ms: number) => new Date(ms).toISOString().slice(0, -1)
      const two = (n: number) => String(n).padStart(2, '0')
      const minutes = Math.abs(offset)
      const suffix = `${offset < 0 ? '-' : '+'}${two(Math.trunc(minutes / 60))}:${two(minutes % 60)}`
      const texts = [naive(at), `${naive(at)}Z`, `${naive(at + offset * 60_000)}${suffix}`]
      return texts.every((text) => parseTimestamp(text) === at)
    }),
    { numRuns: 1_000 },
  )
  t.pass()
})

t.test('no text makes reading throw, and what is read is a safe integer', async (t) => {
  const nearly = fc.stringMatching(/^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(\.\d{0,10})?(Z|[+-]\d{2}:?\d{2})?$/)
  fc.assert(
    fc.property(fc.oneof(anyText(), nearly), (text) => {
      const at = parseTimestamp(text)
      return at === null || Number.isSafeInteger(at)
    }),
    { numRuns: 300 },
  )
  t.pass()
})
