import fc from 'fast-check'
import t from 'tap'
import { createRate, UNLIMITED } from '../../src/domain/rate-limit.ts'

const T = Date.UTC(2026, 0, 15, 12)

/** Starts as many as may start at `now`. */
function startAll(rate: ReturnType<typeof createRate>, now: number): number {
  let started = 0
  while (rate.available(now) > 0) {
    rate.spend(now)
    started += 1
  }
  return started
}

t.test('without a limit any number may start, at any time', async (t) => {
  for (let i = 0; i < 1_000; i += 1) UNLIMITED.spend(T)
  t.equal(UNLIMITED.available(T), Number.POSITIVE_INFINITY)
  t.equal(UNLIMITED.waitMs(T), 0)
})

t.test('after a quiet while the whole allowance may start at once, and then they are even', async (t) => {
  const rate = createRate({ max: 5, perMs: 1_000 })
  t.equal(rate.available(T), 5)
  t.equal(startAll(rate, T), 5)
  t.equal(rate.waitMs(T), 200)
  t.equal(rate.available(T + 199), 0)
  t.equal(rate.waitMs(T + 199), 1)
  t.equal(rate.available(T + 200), 1)
  t.equal(startAll(rate, T + 1_000), 5)
  t.equal(startAll(rate, T + 1_400), 2)
})

t.test('an allowance of one a second gives one a second', async (t) => {
  const rate = createRate({ max: 1, perMs: 1_000 })
  for (let second = 0; second < 5; second += 1) {
    t.equal(startAll(rate, T + second * 1_000), 1)
    t.equal(rate.waitMs(T + second * 1_000), 1_000)
    t.equal(startAll(rate, T + second * 1_000 + 999), 0)
  }
})

t.test('the allowance never grows beyond its size', async (t) => {
  const rate = createRate({ max: 3, perMs: 60_000 })
  startAll(rate, T)
  t.equal(startAll(rate, T + 365 * 86_400_000), 3)
})

t.test('asking changes nothing', async (t) => {
  const rate = createRate({ max: 2, perMs: 1_000 })
  rate.spend(T)
  for (let i = 0; i < 100; i += 1) {
    t.equal(rate.available(T), 1)
    t.equal(rate.waitMs(T), 0)
  }
})

t.test('starting more than may start is paid for later', async (t) => {
  const rate = createRate({ max: 2, perMs: 1_000 })
  for (let i = 0; i < 4; i += 1) rate.spend(T)
  t.ok(rate.available(T) <= 0)
  t.equal(rate.waitMs(T), 1_500)
  t.ok(rate.available(T + 1_499) <= 0)
  t.equal(rate.available(T + 1_500), 1)
})

t.test('a clock set back gives nothing away and takes nothing away', async (t) => {
  const rate = createRate({ max: 2, perMs: 1_000 })
  startAll(rate, T)
  t.equal(rate.available(T - 3_600_000), 0)
  t.equal(rate.waitMs(T - 3_600_000), 500)
  t.equal(rate.available(T - 3_600_000 + 500), 1)
})

t.test('whoever waits as long as told may start, and no longer wait is told than the limit asks for', async (t) => {
  const limit = fc.record({ max: fc.integer({ min: 1, max: 1_000 }), perMs: fc.integer({ min: 1, max: 3_600_000 }) })
  fc.assert(
    fc.property(limit, fc.array(fc.nat(5_000), { maxLength: 30 }), ({ max, perMs }, pauses) => {
      const rate = createRate({ max, perMs })
      let now = T
      for (const pause of pauses) {
        now += pause
        startAll(rate, now)
        const waitMs = rate.waitMs(now)
        if (!(waitMs > 0 && waitMs <= Math.ceil(perMs / max))) return false
        now += waitMs
        if (rate.available(now) < 1) return false
      }
      return true
    }),
    { numRuns: 500 },
  )
  t.pass()
})

t.test('over any time no more start than the allowance and what has come in since', async (t) => {
  const limit = fc.record({ max: fc.integer({ min: 1, max: 50 }), perMs: fc.integer({ min: 1, max: 60_000 }) })
  fc.assert(
    fc.property(
      limit,
      fc.array(fc.integer({ min: -10_000, max: 10_000 }), { maxLength: 50 }),
      ({ max, perMs }, steps) => {
        const rate = createRate({ max, perMs })
        let now = T
        let forwardMs = 0
        let started = startAll(rate, now)
        for (const step of steps) {
          now += step
          forwardMs += Math.max(0, step)
          started += startAll(rate, now)
        }
        return started <= max + (forwardMs * max) / perMs + 1e-6
      },
    ),
    { numRuns: 500 },
  )
  t.pass()
})
