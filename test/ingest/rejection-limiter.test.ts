import t from 'tap'
import { RejectionLimiter } from '../../src/ingest/rejection-limiter.ts'

const LIMIT = { maxRefused: 2, perMs: 1_000 }

function limiterAt(start: number) {
  const clock = { at: start }
  return { clock, limiter: new RejectionLimiter(() => clock.at) }
}

t.test('a network is limited from its last allowed rejection to the end of the period', async (t) => {
  const { clock, limiter } = limiterAt(5_000)
  t.equal(limiter.limitedMs('a', LIMIT), 0)
  t.equal(limiter.count('a', LIMIT), 0)
  t.equal(limiter.limitedMs('a', LIMIT), 0)
  t.equal(limiter.count('a', LIMIT), 0)
  t.equal(limiter.limitedMs('a', LIMIT), 1_000)
  clock.at += 999
  t.equal(limiter.count('a', LIMIT), 1)
  t.equal(limiter.limitedMs('b', LIMIT), 0, 'another one')
  clock.at += 1
  t.equal(limiter.limitedMs('a', LIMIT), 0)
  t.equal(limiter.count('a', LIMIT), 0)
})

t.test('what is kept of networks is bounded, and the newest of them stay limited', async (t) => {
  const { limiter } = limiterAt(0)
  for (let n = 0; n < 60_000; n += 1) for (let i = 0; i < 2; i += 1) limiter.count(String(n), LIMIT)
  t.equal(limiter.limitedMs('59999', LIMIT), 1_000)
  t.equal(limiter.limitedMs('10000', LIMIT), 1_000)
  t.equal(limiter.limitedMs('9999', LIMIT), 0, 'forgotten')
})
