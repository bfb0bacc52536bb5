import fc from 'fast-check'
import t from 'tap'
import { retryAfterMs, waitHintMs } from '../../src/domain/retry-after.ts'

const now = Date.UTC(2026, 0, 15, 12, 0, 0)

t.test('Retry-After in seconds is told in milliseconds', async (t) => {
  t.equal(retryAfterMs('120', now), 120_000)
  t.equal(retryAfterMs(' 1 ', now), 1_000)
})

t.test('a huge number of seconds stays a safe integer', async (t) => {
  t.equal(retryAfterMs('9'.repeat(400), now), Number.MAX_SAFE_INTEGER)
})

t.test('Retry-After as a date, in each of the three forms, is told as the time until then', async (t) => {
  t.equal(retryAfterMs('Thu, 15 Jan 2026 12:00:30 GMT', now), 30_000)
  t.equal(retryAfterMs('Thursday, 15-Jan-26 12:00:30 GMT', now), 30_000)
  t.equal(retryAfterMs('Thu Jan 15 12:00:30 2026', now), 30_000)
  t.equal(retryAfterMs('Sun Feb  1 12:00:00 2026', now), 17 * 86_400_000)
})

t.test('a year of two digits is never more than 50 years ahead', async (t) => {
  t.equal(retryAfterMs('Sunday, 06-Nov-94 08:49:37 GMT', now), undefined)
})

t.test('what is past, no wait, or garbage asks for nothing', async (t) => {
  const nothing = [
    undefined,
    '',
    '0',
    '-5',
    'soon',
    '5 fortnights',
    '1e3',
    '0x10',
    'NaN',
    '∞',
    'Thu, 15 Jan 2026 11:59:59 GMT',
    '2026-01-15',
  ]
  const noDates = ['Thu, 31 Feb 2026 12:00:00 GMT', 'Thu, 15 Foo 2026 12:00:00 GMT', 'Thu, 15 Jan 2027 25:00:00 GMT']
  for (const header of [...nothing, ...noDates]) t.equal(retryAfterMs(header, now), undefined, String(header))
})

t.test('what services and proxies send instead of the standard forms is understood', async (t) => {
  const understood: [header: string | string[], seconds: number][] = [
    ['2.0', 2],
    ['0.35', 0.35],
    ['30s', 30],
    ['500ms', 0.5],
    ['2 m', 120],
    ['"60"', 60],
    ['120, 120', 120],
    [['5', '30'], 30],
    ['5, Thu, 15 Jan 2026 12:00:30 GMT', 30],
    ['Thu, 15 Jan 2026 12:00:30 GMT, Thu, 15 Jan 2026 12:01:00 GMT', 60],
    ['Thu, 15 Jan 2026 12:00:30 UTC', 30],
    ['Thu, 15 Jan 2026 12:00:30 +0000', 30],
    ['Thu, 15 Jan 2026 13:00:30 +0100', 30],
    ['Thu, 15 Jan 2026 12:00:30', 30],
    ['thu, 15 jan 2026 12:00:30 gmt', 30],
    ['15 Jan 2026 12:00:30 GMT', 30],
    ['Sun, 1 Feb 2026 12:00:00 GMT', 17 * 86_400],
    ['2026-01-15T12:00:30Z', 30],
    ['2026-01-15T12:00:30.250Z', 30.25],
    ['2026-01-15 13:00:30+01:00', 30],
    ['2026-01-15T12:00:30', 30],
    ['2026-01-15 12:00:30 UTC', 30],
  ]
  for (const [header, seconds] of understood) t.equal(retryAfterMs(header, now), seconds * 1_000, String(header))
})

t.test('hints in milliseconds count as Retry-After does, and the longest wins', async (t) => {
  t.equal(waitHintMs({ 'retry-after-ms': '1500' }, false, now), 1_500)
  t.equal(waitHintMs({ 'x-ms-retry-after-ms': '2500', 'retry-after': '2' }, false, now), 2_500)
  t.equal(waitHintMs({ 'retry-after-ms': '1500', 'retry-after': '60' }, false, now), 60_000)
  t.equal(waitHintMs(undefined, true, now), undefined)
})

t.test('a reset of the rate limit counts for a throttled answer without another hint', async (t) => {
  const seconds = now / 1_000
  t.equal(waitHintMs({ 'x-ratelimit-reset': String(seconds + 40) }, true, now), 40_000, 'GitHub')
  t.equal(waitHintMs({ 'x-ratelimit-reset': `${seconds + 40}.5` }, true, now), 40_500, 'Discord')
  t.equal(waitHintMs({ 'x-ratelimit-reset': String(now + 40_000) }, true, now), 40_000, 'epoch milliseconds')
  t.equal(waitHintMs({ 'ratelimit-reset': '40' }, true, now), 40_000)
  t.equal(waitHintMs({ 'x-ratelimit-reset-after': '1.25' }, true, now), 1_250)
  t.equal(waitHintMs({ 'x-ratelimit-reset': '40' }, false, now), undefined, 'of an answer that is not throttled')
  t.equal(waitHintMs({ 'x-ratelimit-reset': '40', 'retry-after': '5' }, true, now), 5_000, 'Retry-After is meant')
  t.equal(waitHintMs({ 'x-ratelimit-reset': String(seconds - 40) }, true, now), undefined, 'past')
})

t.test('whatever a header holds, the wait is undefined or a positive safe integer', async () => {
  const value = fc.oneof(
    fc.string(),
    fc.stringMatching(/^[\d.:,TZ+ -]{0,40}$/),
    fc.integer().map(String),
    fc.double().map(String),
    fc.date({ noInvalidDate: true }).map((date) => date.toUTCString()),
    fc.string({ minLength: 10_000, maxLength: 20_000 }),
  )
  const header = fc.oneof(value, fc.array(value, { maxLength: 30 }))
  const names = [
    'retry-after',
    'retry-after-ms',
    'x-ms-retry-after-ms',
    'ratelimit-reset',
    'x-ratelimit-reset',
  ] as const
  const isSane = (wait: number | undefined) => wait === undefined || (Number.isSafeInteger(wait) && wait > 0)
  const hints = fc.dictionary(fc.constantFrom(...names), header)
  fc.assert(fc.property(hints, fc.boolean(), (all, throttled) => isSane(waitHintMs(all, throttled, now))))
})

t.test('any date that is ahead is waited for, whichever zone it is written in', async () => {
  const ahead = fc.integer({ min: 1, max: 10 * 365 * 86_400 })
  fc.assert(
    fc.property(ahead, fc.integer({ min: -12, max: 14 }), (seconds, hours) => {
      const [, day, month, year, time] = new Date(now + seconds * 1_000 + hours * 3_600_000).toUTCString().split(/,? /)
      const zone = `${hours < 0 ? '-' : '+'}${String(Math.abs(hours)).padStart(2, '0')}00`
      return retryAfterMs(`${day} ${month} ${year} ${time} ${zone}`, now) === seconds * 1_000
    }),
  )
})
