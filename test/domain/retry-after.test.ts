import t from 'tap'
import { retryAfterMs } from '../../src/domain/retry-after.ts'

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
  const nothing = [undefined, '', '0', '-5', '1.5', '5s', 'soon', 'Thu, 15 Jan 2026 11:59:59 GMT', '2026-01-15']
  const noDates = ['Thu, 31 Feb 2026 12:00:00 GMT', 'Thu, 15 Foo 2026 12:00:00 GMT', 'Thu, 15 Jan 2027 25:00:00 GMT']
  for (const header of [...nothing, ...noDates]) t.equal(retryAfterMs(header, now), undefined, String(header))
})
