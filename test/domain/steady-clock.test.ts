import fc from 'fast-check'
import t from 'tap'
import { createSteadyClock } from '../../src/domain/steady-clock.ts'

const HOUR_MS = 3_600_000
const NOW = Date.UTC(2026, 0, 15, 12)

/** A steady clock over a wall clock and a monotonic one that the test moves. */
function setUp() {
  let wall = NOW
  let monotonic = 5
  const skips: number[] = []
  const clock = createSteadyClock(
    { now: () => wall },
    () => monotonic,
    (ms) => skips.push(ms),
  )
  return {
    clock,
    skips,
    pass: (ms: number) => {
      wall += ms
      monotonic += ms
    },
    step: (ms: number) => {
      wall += ms
    },
  }
}

t.test('it goes with the wall clock', async (t) => {
  const { clock, pass } = setUp()
  t.equal(clock.now(), NOW)
  pass(90_000)
  t.equal(clock.now(), NOW + 90_000)
})

t.test('when the wall clock is set back, pauses stay about as long as they were', async (t) => {
  const { clock, pass, step } = setUp()
  const before = clock.now()
  step(-HOUR_MS)
  t.equal(clock.now(), before, 'it does not go back')
  pass(10_000)
  t.equal(clock.now(), before + 9_000)
})

t.test('it comes back to the wall clock in ten times the step', async (t) => {
  const { clock, pass, step } = setUp()
  step(-HOUR_MS)
  for (let minute = 0; minute < 601; minute++) {
    pass(60_000)
    clock.now()
  }
  t.equal(clock.now(), NOW - HOUR_MS + 601 * 60_000)
})

t.test('a step forward is taken at once', async (t) => {
  const { clock, step } = setUp()
  step(HOUR_MS)
  t.equal(clock.now(), NOW + HOUR_MS)
})

t.test('whatever is done to the wall clock, it never goes back nor stands still', async (t) => {
  const moves = fc.array(fc.record({ pass: fc.nat(100_000), step: fc.integer({ min: -1e8, max: 1e8 }) }))
  fc.assert(
    fc.property(moves, (all) => {
      const { clock, pass, step } = setUp()
      let before = clock.now()
      for (const move of all) {
        step(move.step)
        pass(move.pass)
        const now = clock.now()
        if (now < before + Math.floor(move.pass * 0.9) - 1) return false
        before = now
      }
      return true
    }),
  )
  t.pass()
})

t.test('it reports each step forward, and nothing else', async (t) => {
  const { clock, skips, pass, step } = setUp()
  clock.now()
  pass(5 * HOUR_MS)
  step(500)
  clock.now()
  t.same(skips, [], 'neither time that the process has seen pass nor a small correction')
  step(3 * HOUR_MS)
  clock.now()
  clock.now()
  t.same(skips, [3 * HOUR_MS], 'a suspend')
  step(-HOUR_MS)
  clock.now()
  step(HOUR_MS + 2_000)
  clock.now()
  t.same(skips, [3 * HOUR_MS, 2_000], 'what was set back and forward again is no time')
})
