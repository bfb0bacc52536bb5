import t from 'tap'
import { ago, duration, iso, parseEnd, parseInstant, zoneOfDate } from '../../src/cli/instant.ts'

const NOW = Date.UTC(2026, 2, 1, 12)

t.test('an age is counted back from now', async (t) => {
  const cases: [string, number][] = [
    ['90s', 90_000],
    ['15m', 900_000],
    ['2h', 7_200_000],
    ['1.5h', 5_400_000],
    ['3d', 259_200_000],
    ['0s', 0],
  ]
  for (const [text, ms] of cases) t.equal(parseInstant(text, NOW), NOW - ms, text)
})

t.test('an ISO time is in UTC unless it says otherwise', async (t) => {
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
  for (const text of ['', '2', 'h', '-2h', '2w', '2 h', '15.1.2026', '2026-02-30', '2026-13-01', '2026-01-15T25:00']) {
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
