import fc from 'fast-check'
import t from 'tap'
import { createRate, type OpenStart, type Rate, RateWindow } from '../../src/domain/rate-limit.ts'

const T = Date.UTC(2026, 0, 15, 12)

/** Starts as many as may start at `now`. */
function startAll(rate: Rate, now: number): number {
  let started = 0
  while (rate.available(now) > 0) {
    rate.spend(now)
    started += 1
  }
  return started
}

t.test('after a quiet while no more than the maximum starts in one window', async (t) => {
  const rate = createRate({ max: 10, perMs: 5_000 })
  t.equal(startAll(rate, T), 10)
  t.equal(rate.waitMs(T), 5_000)
  t.equal(startAll(rate, T + 4_999), 0)
  t.equal(startAll(rate, T + 5_000), 10)
})

t.test('each start makes room for one when it is a window old', async (t) => {
  const rate = createRate({ max: 2, perMs: 1_000 })
  rate.spend(T)
  rate.spend(T + 300)
  t.equal(rate.waitMs(T + 300), 700)
  t.equal(startAll(rate, T + 1_000), 1)
  t.equal(rate.waitMs(T + 1_000), 300)
  t.equal(startAll(rate, T + 1_300), 1)
})

t.test('an allowance of one a second gives one a second', async (t) => {
  const rate = createRate({ max: 1, perMs: 1_000 })
  for (let second = 0; second < 5; second += 1) {
    t.equal(startAll(rate, T + second * 1_000), 1)
    t.equal(rate.waitMs(T + second * 1_000), 1_000)
    t.equal(startAll(rate, T + second * 1_000 + 999), 0)
  }
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
  for (const at of [T, T + 100, T + 200, T + 300]) rate.spend(at)
  t.ok(rate.available(T + 300) <= 0)
  t.equal(rate.waitMs(T + 300), 900)
  t.ok(rate.available(T + 1_199) <= 0)
  t.equal(rate.available(T + 1_200), 1)
})

t.test('a clock set back gives nothing away and takes nothing away', async (t) => {
  const rate = createRate({ max: 2, perMs: 1_000 })
  startAll(rate, T)
  t.equal(rate.available(T - 3_600_000), 0)
  t.equal(rate.waitMs(T - 3_600_000), 1_000)
  t.equal(rate.available(T - 3_600_000 + 1_000), 2)
})

t.test('a start counts from its end, but not from later than the margin after it was sent', async (t) => {
  const quick = new RateWindow({ max: 1, perMs: 1_000 }, 100)
  const first = quick.open()
  quick.sent(first, T)
  quick.ended(first, T + 20)
  t.equal(quick.waitMs(T + 20), 1_000)
  const slow = new RateWindow({ max: 1, perMs: 1_000 }, 100)
  const second = slow.open()
  slow.sent(second, T)
  t.equal(slow.waitMs(T), 1_100)
  t.equal(slow.available(T + 1_099), 0)
  t.equal(slow.available(T + 1_100), 1)
  slow.ended(second, T + 1_100)
  t.equal(slow.available(T + 1_100), 1, 'once')
})

t.test('a start that is not sent yet holds its place, however long that takes', async (t) => {
  const rate = new RateWindow({ max: 1, perMs: 1_000 })
  const first = rate.open()
  t.equal(rate.available(T + 60_000), 0)
  t.equal(rate.waitMs(T + 60_000), Number.POSITIVE_INFINITY)
  rate.sent(first, T + 60_000)
  t.equal(rate.waitMs(T + 60_000), 1_000)
  t.equal(rate.available(T + 61_000), 1)
  const never = rate.open()
  rate.ended(never, T + 70_000)
  t.equal(rate.waitMs(T + 70_000), 1_000, 'one that ends unsent may have arrived all the same')
})

t.test('starts of the past are counted as of then, and those of the future as of now', async (t) => {
  const rate = createRate({ max: 3, perMs: 1_000 })
  rate.spend(T)
  ;(rate as RateWindow).add([T - 400, T - 1_000, T + 3_600_000], T)
  t.equal(rate.available(T), 0)
  t.equal(rate.waitMs(T), 600)
  t.equal(startAll(rate, T + 600), 1)
  t.equal(startAll(rate, T + 1_000), 2)
})

t.test('whoever waits as long as told may start, and not a millisecond earlier', async (t) => {
  const limit = fc.record({ max: fc.integer({ min: 1, max: 3_000 }), perMs: fc.integer({ min: 1, max: 3_600_000 }) })
  fc.assert(
    fc.property(limit, fc.array(fc.nat(5_000), { maxLength: 30 }), ({ max, perMs }, pauses) => {
      const rate = createRate({ max, perMs })
      let now = T
      for (const pause of pauses) {
        now += pause
        startAll(rate, now)
        const waitMs = rate.waitMs(now)
        if (!(waitMs > 0 && waitMs <= perMs)) return false
        if (rate.available(now + waitMs - 1) > 0) return false
        now += waitMs
        if (rate.available(now) < 1) return false
      }
      return true
    }),
    { numRuns: 200 },
  )
  t.pass()
})

t.test('a receiver never sees more than the maximum arrive in any window', async (t) => {
  const attempt = fc.record({ pause: fc.nat(400), connect: fc.nat(800), answer: fc.nat(300), arrives: fc.nat(1_000) })
  const limit = fc.record({ max: fc.integer({ min: 1, max: 6 }), perMs: fc.integer({ min: 1, max: 2_000 }) })
  fc.assert(
    fc.property(limit, fc.array(attempt, { maxLength: 60 }), ({ max, perMs }, attempts) => {
      const marginMs = 100
      const rate = new RateWindow({ max, perMs }, marginMs)
      const arrivals: number[] = []
      const due: { at: number; act: (now: number) => void }[] = []
      const runUntil = (now: number) => {
        for (due.sort((a, b) => a.at - b.at); due.length > 0 && due[0]!.at <= now; ) {
          const { at, act } = due.shift()!
          act(at)
          due.sort((a, b) => a.at - b.at)
        }
      }
      const begin = (start: OpenStart, now: number, { connect, answer, arrives }: (typeof attempts)[number]) =>
        due.push({
          at: now + connect,
          act: (sentAt) => {
            rate.sent(start, sentAt)
            // It arrives before it is answered, and within the margin.
            arrivals.push(sentAt + (Math.min(answer, marginMs) * arrives) / 1_000)
            due.push({ at: sentAt + answer, act: (at) => rate.ended(start, at) })
          },
        })
      let now = T
      for (const one of attempts) {
        now += one.pause
        runUntil(now)
        while (rate.available(now) < 1) {
          const waitMs = rate.waitMs(now)
          now = Number.isFinite(waitMs) ? Math.min(now + waitMs, due[0]?.at ?? Number.POSITIVE_INFINITY) : due[0]!.at
          runUntil(now)
        }
        begin(rate.open(), now, one)
      }
      runUntil(Number.POSITIVE_INFINITY)
      arrivals.sort((a, b) => a - b)
      return arrivals.every((at, index) => index < max || at - arrivals[index - max]! >= perMs)
    }),
    { numRuns: 500 },
  )
  t.pass()
})

t.test('a limit of a million takes little memory and holds', async (t) => {
  const rate = createRate({ max: 1_000_000, perMs: 60_000 })
  const before = process.memoryUsage().heapUsed
  let now = T
  let started = 0
  for (; now < T + 60_000; now += 0.1) {
    if (rate.available(now) > 0) {
      rate.spend(now)
      started += 1
    }
  }
  t.ok(started <= 1_000_000)
  t.ok(process.memoryUsage().heapUsed - before < 16 * 1024 * 1024)
  t.equal(startAll(createRate({ max: 1_000_000, perMs: 1 }), T), 1_000_000)
})
