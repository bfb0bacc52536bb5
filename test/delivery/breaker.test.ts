import t from 'tap'
import {
  allowed,
  type BreakerState,
  failed,
  HEALTHY,
  interrupted,
  started,
  succeeded,
} from '../../src/delivery/breaker.ts'

const NOW = 1_000_000
const policy = { failures: 3, cooldownMs: 30_000, maxCooldownMs: 100_000 }

/** The state after so many failures in a row. */
function after(failures: number, from: BreakerState = HEALTHY): BreakerState {
  return Array.from({ length: failures }).reduce<BreakerState>((state) => failed(state, policy, NOW), from)
}

t.test('a healthy target has no limit of the breaker’s', async (t) => {
  t.equal(allowed(HEALTHY, 0, NOW), Number.POSITIVE_INFINITY)
  t.equal(allowed(HEALTHY, 100, NOW), Number.POSITIVE_INFINITY)
  t.equal(succeeded(HEALTHY, 8), HEALTHY)
})

t.test('so many failures in a row open it, and a success between them starts the count anew', async (t) => {
  t.equal(after(2).kind, 'closed')
  t.same(after(3), { kind: 'open', probeAt: NOW + 30_000, cooldownMs: 30_000 })
  t.equal(after(2, succeeded(after(2), 8)).kind, 'closed')
})

t.test('while it is open nothing goes out; after the cooldown, one attempt does', async (t) => {
  const open = after(3)
  t.equal(allowed(open, 0, NOW + 29_999), 0)
  t.equal(allowed(open, 0, NOW + 30_000), 1)
  t.equal(allowed(open, 1, NOW + 30_000), 0, 'not beside one that is still under way')
  const probing = started(open)
  t.equal(probing.kind, 'probing')
  t.equal(allowed(probing, 1, NOW + 30_000), 0)
  t.equal(allowed(probing, 0, NOW + 30_000), 0)
})

t.test('each failed probe doubles the cooldown, up to its limit', async (t) => {
  let state = after(3)
  const cooldowns: number[] = []
  for (let probe = 0; probe < 4; probe++) {
    state = failed(started(state), policy, NOW)
    cooldowns.push(state.kind === 'open' ? state.cooldownMs : 0)
  }
  t.same(cooldowns, [60_000, 100_000, 100_000, 100_000])
})

t.test('failures of attempts that were under way when it opened change nothing', async (t) => {
  const open = after(3)
  t.equal(failed(open, policy, NOW + 5_000), open)
})

t.test('a successful probe closes it, and what may run at once doubles with every round of successes', async (t) => {
  let state = succeeded(started(after(3)), 8)
  const limits: number[] = []
  for (let success = 0; success < 7; success++) {
    limits.push(allowed(state, 0, NOW))
    state = succeeded(state, 8)
  }
  t.same(limits.slice(0, 6), [2, 3, 4, 5, 6, 7])
  t.same(state, HEALTHY)
})

t.test('on the way up, a failure halves what may run at once, and failures in a row open it as ever', async (t) => {
  let state = succeeded(started(after(3)), 32)
  for (let success = 0; success < 8; success++) state = succeeded(state, 32)
  t.equal(allowed(state, 0, NOW), 10)
  state = failed(state, policy, NOW)
  t.equal(allowed(state, 0, NOW), 5)
  state = after(2, state)
  t.equal(state.kind, 'open')
})

t.test('an interrupted probe says nothing: another may be made at once', async (t) => {
  const state = interrupted(started(after(3)), NOW + 31_000)
  t.equal(allowed(state, 0, NOW + 31_000), 1)
  t.equal(interrupted(HEALTHY, NOW), HEALTHY)
})

t.test('a success that comes while it is open closes it: the target is there', async (t) => {
  t.equal(succeeded(after(3), 8).kind, 'closed')
})
