import fc from 'fast-check'
import t from 'tap'
import { baseDelayMs, dueTimes, type RetryPolicy, retryDelayMs } from '../../src/domain/backoff.ts'
import { anyAttempt, anyPolicy, anyRandom, anyRetryAfterMs, PLAIN } from './retry-policies.ts'

const middle = () => 0.5
const longest = ({ maxDelayMs, jitter }: RetryPolicy) => Math.round(maxDelayMs * (1 + jitter))

t.test('pauses double from 5 s up to an hour, and stay there', async (t) => {
  const seconds = Array.from({ length: 13 }, (_, i) => baseDelayMs(PLAIN, i + 1) / 1000)
  t.same(seconds, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600, 3600])
})

t.test('a factor of 1 gives the same pause every time', async (t) => {
  for (const n of [1, 2, 50, 1_000_000]) t.equal(baseDelayMs({ ...PLAIN, factor: 1 }, n), 5_000)
})

t.test('an initial pause over the longest is cut to the longest', async (t) => {
  t.equal(baseDelayMs({ ...PLAIN, initialDelayMs: 7_200_000 }, 1), 3_600_000)
})

t.test('a number of attempts that overflows still gives the longest pause', async (t) => {
  t.equal(baseDelayMs(PLAIN, 1_000_000), 3_600_000)
})

t.test('pauses are whole milliseconds', async (t) => {
  t.equal(baseDelayMs({ ...PLAIN, initialDelayMs: 1, factor: 1.4 }, 2), 1)
  t.equal(baseDelayMs({ ...PLAIN, initialDelayMs: 1, factor: 1.6 }, 2), 2)
})

t.test('jitter spreads a pause evenly on both sides', async (t) => {
  const policy = { ...PLAIN, jitter: 0.2 }
  t.equal(
    retryDelayMs(policy, 1, () => 0, undefined),
    4_000,
  )
  t.equal(retryDelayMs(policy, 1, middle, undefined), 5_000)
  t.equal(
    retryDelayMs(policy, 1, () => 1 - Number.EPSILON, undefined),
    6_000,
  )
})

t.test('a pause is never negative, never fractional and never over the longest with its jitter', async (t) => {
  fc.assert(
    fc.property(anyPolicy, anyAttempt, anyRandom, anyRetryAfterMs, (policy, n, random, retryAfterMs) => {
      const delay = retryDelayMs(policy, n, () => random, retryAfterMs)
      return Number.isSafeInteger(delay) && delay >= 0 && delay <= longest(policy)
    }),
    { numRuns: 2_000 },
  )
  t.pass()
})

t.test('a pause stays within its jitter share', async (t) => {
  fc.assert(
    fc.property(anyPolicy, anyAttempt, anyRandom, (policy, n, random) => {
      const base = baseDelayMs(policy, n)
      const delay = retryDelayMs(policy, n, () => random, undefined)
      return delay >= Math.round(base * (1 - policy.jitter)) && delay <= Math.round(base * (1 + policy.jitter))
    }),
    { numRuns: 2_000 },
  )
  t.pass()
})

t.test('without jitter a later pause is never shorter than an earlier one', async (t) => {
  fc.assert(
    fc.property(anyPolicy, anyAttempt, anyAttempt, anyRandom, (any, a, b, random) => {
      const policy = { ...any, jitter: 0 }
      const delay = (n: number) => retryDelayMs(policy, n, () => random, undefined)
      return delay(Math.min(a, b)) <= delay(Math.max(a, b))
    }),
    { numRuns: 2_000 },
  )
  t.pass()
})

t.test('Retry-After is waited for at least, up to the longest pause', async (t) => {
  fc.assert(
    fc.property(anyPolicy, anyAttempt, anyRandom, fc.nat(Number.MAX_SAFE_INTEGER), (policy, n, random, asked) => {
      const delay = retryDelayMs(policy, n, () => random, asked)
      return delay >= Math.min(asked, policy.maxDelayMs) && delay >= retryDelayMs(policy, n, () => random, undefined)
    }),
    { numRuns: 2_000 },
  )
  t.pass()
})

t.test('Retry-After wins only where it is longer than the pause', async (t) => {
  t.equal(retryDelayMs(PLAIN, 3, middle, 19_999), 20_000)
  t.equal(retryDelayMs(PLAIN, 3, middle, 20_001), 20_001)
  t.equal(retryDelayMs(PLAIN, 3, middle, -5_000), 20_000)
})

t.test('Retry-After is capped at the longest pause', async (t) => {
  t.equal(retryDelayMs(PLAIN, 1, middle, 3_600_001), 3_600_000)
  t.equal(retryDelayMs(PLAIN, 1, middle, Number.MAX_SAFE_INTEGER), 3_600_000)
})

t.test('jitter makes a Retry-After longer, never shorter', async (t) => {
  const policy = { ...PLAIN, jitter: 0.2 }
  t.equal(retryDelayMs(policy, 1, middle, 60_000), 60_000)
  for (const random of [0, 1 - Number.EPSILON]) {
    t.equal(
      retryDelayMs(policy, 1, () => random, 60_000),
      72_000,
      `random ${random}`,
    )
  }
})

t.test('no policy puts a delivery off beyond the latest time that it names', async () => {
  fc.assert(
    fc.property(anyPolicy, anyAttempt, anyRandom, anyRetryAfterMs, (policy, attempt, random, retryAfterMs) => {
      const [, latest] = dueTimes(policy, 1_000)
      return 1_000 + retryDelayMs(policy, attempt, () => random, retryAfterMs) <= latest
    }),
  )
})
