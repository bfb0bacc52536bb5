import t from 'tap'
import { ago, duration, iso, parseEnd, parseInstant, zoneOfDate } from '../../src/cli/instant.ts'
import { readInstant } from '../../src/documents/instants.ts'

// Times without an offset are those of this machine.
process.env.TZ = 'UTC'

const NOW = Date.UTC(2026, 2, 1, 12)

t.test('an age is counted back from now', async (t) => {
  const cases: [string, number][] = [
    ['90s', 90_000],
    ['15m', 900_000],
    ['2h', 7_200_000],
    ['1.5h', 5_400_000],
    ['3d', 259_200_000],
    ['0s', 0],
    ['1h30m', 5_400_000],
    ['2w', 1_209_600_000],
    ['1w2d3h4m5s6ms', 788_645_006],
  ]
  for (const [text, ms] of cases) t.equal(parseInstant(text, NOW), NOW - ms, text)
})

t.test('an ISO time may have an offset', async (t) => {
  const cases: [string, string][] = [
    ['2026-01-15', '2026-01-15T00:00:00.000Z'],
    ['2026-01-15T12:30', '2026-01-15T12:30:00.000Z'],
    ['2026-01-15T12:30:05.250', '2026-01-15T12:30:05.250Z'],
    ['2026-01-15T12:30:05Z', '2026-01-15T12:30:05.000Z'],
    ['2026-01-15T12:30+02:00', '2026-01-15T10:30:00.000Z'],
    ['2024-02-29T23:59-01:00', '2024-03-01T00:59:00.000Z'],
  ]
  for (const [text, expected] of cases) t.equal(iso(parseInstant(text, NOW)), expected, text)
})

t.test('a date is its beginning, as an end its end, in UTC or in its zone', async (t) => {
  const cases: [string, string, string, string | null][] = [
    ['2026-01-15', '2026-01-15T00:00:00.000Z', '2026-01-16T00:00:00.000Z', 'UTC'],
    ['2026-01-15Z', '2026-01-15T00:00:00.000Z', '2026-01-16T00:00:00.000Z', 'UTC'],
    ['2026-01-15+02:00', '2026-01-14T22:00:00.000Z', '2026-01-15T22:00:00.000Z', '+02:00'],
    ['2024-02-29-05:30', '2024-02-29T05:30:00.000Z', '2024-03-01T05:30:00.000Z', '-05:30'],
    ['2026-01-15T12:00', '2026-01-15T12:00:00.000Z', '2026-01-15T12:00:00.000Z', null],
    ['12h', '2026-03-01T00:00:00.000Z', '2026-03-01T00:00:00.000Z', null],
  ]
  for (const [text, start, end, zone] of cases) {
    t.equal(iso(parseInstant(text, NOW)), start, text)
    t.equal(iso(parseEnd(text, NOW)), end, `to ${text}`)
    t.equal(zoneOfDate(text), zone, text)
  }
  t.throws(() => parseEnd('yesterday', NOW), { message: /such as 2h .*ISO time such as/ })
})

t.test('what is neither is refused with what to write', async (t) => {
  for (const text of [
    '',
    '2',
    'h',
    '-2h',
    '30m1h',
    '1h1h',
    '2h30',
    '2 h',
    '15.1.2026',
    '2026-02-30',
    '2026-13-01',
    '2026-01-15T25:00',
    '25:00',
    '9:5',
  ]) {
    t.throws(() => parseInstant(text, NOW), { message: /such as 2h .*ISO time such as/ }, text)
  }
})

t.test('a duration is told in its two largest units', async (t) => {
  const cases: [number, string][] = [
    [0, '0s'],
    [-5, '0s'],
    [59_499, '59s'],
    [59_500, '1m'],
    [125_000, '2m 5s'],
    [7_200_000, '2h'],
    [7_205_000, '2h'],
    [7_260_000, '2h 1m'],
    [266_400_000, '3d 2h'],
  ]
  for (const [ms, text] of cases) t.equal(duration(ms), text)
})

t.test('an instant is told by how far away it is', async (t) => {
  t.equal(ago(1_000, 66_000), '1m 5s ago')
  t.equal(ago(66_000, 1_000), 'in 1m 5s')
  t.equal(ago(1_000, 1_000), '0s ago')
  t.equal(ago(null, 1_000), '')
})

t.test('a time of day is the last one, and as an end that of today', async (t) => {
  t.equal(iso(parseInstant('09:45', NOW)), '2026-03-01T09:45:00.000Z')
  t.equal(iso(parseInstant('9:45:30', NOW)), '2026-03-01T09:45:30.000Z')
  t.equal(iso(parseInstant('23:00', NOW)), '2026-02-28T23:00:00.000Z')
  t.equal(iso(parseEnd('23:00', NOW)), '2026-03-01T23:00:00.000Z')
  t.equal(iso(parseEnd('09:45', NOW)), '2026-03-01T09:45:00.000Z')
})

t.test('a time may follow its date after a space, and an offset needs no colon', async (t) => {
  t.equal(iso(parseInstant('2026-01-15 09:45', NOW)), '2026-01-15T09:45:00.000Z')
  t.equal(iso(parseInstant('2026-01-15 9:45 +0200', NOW)), '2026-01-15T07:45:00.000Z')
  t.equal(iso(parseInstant('2026-01-15t09:45z', NOW)), '2026-01-15T09:45:00.000Z')
})

t.test('without an offset, commands read times in the zone of this machine and the API in UTC', async (t) => {
  process.env.TZ = 'America/New_York'
  t.teardown(() => {
    process.env.TZ = 'UTC'
  })
  t.equal(iso(parseInstant('2026-01-15 09:45', NOW)), '2026-01-15T14:45:00.000Z')
  t.equal(iso(readInstant('2026-01-15 09:45', NOW, 'UTC')!), '2026-01-15T09:45:00.000Z')
  t.equal(iso(parseInstant('2026-01-15T09:45Z', NOW)), '2026-01-15T09:45:00.000Z')
  t.equal(iso(parseInstant('06:00', NOW)), '2026-03-01T11:00:00.000Z')
  t.equal(iso(parseInstant('08:00', NOW)), '2026-02-28T13:00:00.000Z', 'of yesterday')
  t.equal(iso(parseInstant('2026-01-15', NOW)), '2026-01-15T05:00:00.000Z')
  t.equal(zoneOfDate('2026-01-15'), 'America/New_York')
  t.equal(parseEnd('2026-03-08', NOW) - parseInstant('2026-03-08', NOW), 23 * 3_600_000, 'the clock goes forward')
})
