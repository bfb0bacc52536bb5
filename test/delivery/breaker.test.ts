import t from 'tap'
import {
  allowed,
  type BreakerState,
  failed,
  HEALTHY,
  interrupted,
  isRecovering,
  started,
  succeeded,
} from '../../src/delivery/breaker.ts'

const NOW = 1_000_000
const policy = { failures: 3, cooldownMs: 30_000, maxCooldownMs: 100_000 }

let deliveries = 0

/** A delivery of its own, as it is before its first attempt; `given` overrides. */
function delivery(given: { roundAttempts?: number; attempts?: number } = {}) {
  deliveries += 1
  return { deliveryId: deliveries, roundAttempts: 0, attempts: given.roundAttempts ?? 0, ...given }
}

/** The state after the first failures of so many deliveries in a row. */
function after(failures: number, from: BreakerState = HEALTHY): BreakerState {
  return Array.from({ length: failures }).reduce<BreakerState>((state) => failed(state, delivery(), policy, NOW), from)
}

/** The state after a probe that ended so. */
function probed(state: BreakerState, outcome: 'failed' | 'succeeded', by = delivery(), concurrency = 8): BreakerState {
  const probing = started(state, by.deliveryId)
  return outcome === 'failed' ? failed(probing, by, policy, NOW) : succeeded(probing, concurrency, policy)
}

t.test('a healthy target has no limit of the breaker’s', async (t) => {
  t.equal(allowed(HEALTHY, 0, NOW), Number.POSITIVE_INFINITY)
  t.equal(allowed(HEALTHY, 100, NOW), Number.POSITIVE_INFINITY)
  t.equal(succeeded(HEALTHY, 8, policy), HEALTHY)
})

t.test('so many failures in a row open it, and a success between them starts the count anew', async (t) => {
  t.equal(after(2).kind, 'closed')
  const open = { kind: 'open', probeAt: NOW + 30_000, cooldownMs: 30_000, probe: null, lastProbe: null }
  t.same(after(3), open)
  t.equal(after(2, succeeded(after(2), 8, policy)).kind, 'closed')
})

t.test('a delivery counts once, however often it fails', async (t) => {
  const once = after(2)
  const often = Array.from({ length: 20 }).reduce<BreakerState>(
    (state, _, n) => failed(state, delivery({ roundAttempts: n + 1 }), policy, NOW),
    once,
  )
  t.equal(often, once, 'a retry says nothing new')
  t.equal(failed(HEALTHY, delivery({ roundAttempts: 1 }), policy, NOW), HEALTHY)
  t.equal(failed(often, delivery({ attempts: 7 }), policy, NOW).kind, 'open', 'a fresh budget counts again')
  const retried = delivery()
  const counted = failed(HEALTHY, retried, policy, NOW)
  t.equal(failed(counted, retried, policy, NOW), counted, 'but not in the same run of failures')
})

t.test('while it is open nothing goes out; after the cooldown, one attempt does', async (t) => {
  const open = after(3)
  t.equal(allowed(open, 0, NOW + 29_999), 0)
  t.equal(allowed(open, 0, NOW + 30_000), 1)
  t.equal(allowed(open, 5, NOW + 30_000), 1, 'also beside attempts that began before')
  const probing = started(open, 17)
  t.equal(allowed(probing, 1, NOW + 30_000), 0)
  t.equal(allowed(probing, 0, NOW + 30_000), 0)
})

t.test('each failed probe of a delivery that had not failed doubles the cooldown, up to its limit', async (t) => {
  let state = after(3)
  const cooldowns: number[] = []
  for (let probe = 0; probe < 4; probe++) {
    state = probed(state, 'failed')
    cooldowns.push(state.kind === 'open' ? state.cooldownMs : 0)
  }
  t.same(cooldowns, [60_000, 100_000, 100_000, 100_000])
})

t.test('a failed probe of one that has failed before repeats the cooldown', async (t) => {
  let state = probed(after(3), 'failed')
  const [tried, retried] = [delivery({ roundAttempts: 1 }), delivery({ attempts: 4 })]
  for (const by of [tried, retried]) {
    state = probed(state, 'failed', by)
    t.match(state, { kind: 'open', probeAt: NOW + 60_000, cooldownMs: 60_000, lastProbe: by.deliveryId })
  }
})

t.test('failures of attempts that were under way when it opened change nothing', async (t) => {
  const open = after(3)
  t.equal(failed(open, delivery(), policy, NOW + 5_000), open)
  const probing = started(open, 17)
  t.equal(failed(probing, delivery(), policy, NOW + 5_000), probing, 'nor while another delivery probes')
  t.equal(interrupted(probing, 18, NOW + 5_000), probing)
})

t.test('a successful probe closes it, and what may run at once doubles with every round of successes', async (t) => {
  let state = probed(after(3), 'succeeded')
  const limits: number[] = []
  for (let success = 0; success < 7; success++) {
    limits.push(allowed(state, 0, NOW))
    state = succeeded(state, 8, policy)
  }
  t.same(limits.slice(0, 6), [2, 3, 4, 5, 6, 7])
  t.same(state, HEALTHY)
})

t.test('on the way up, a failure halves what may run at once, and failures in a row open it as ever', async (t) => {
  let state = probed(after(3), 'succeeded', delivery(), 32)
  for (let success = 0; success < 8; success++) state = succeeded(state, 32, policy)
  t.equal(allowed(state, 0, NOW), 10)
  t.equal(
    failed(state, delivery({ roundAttempts: 1 }), policy, NOW),
    state,
    'but not one of a delivery that has failed',
  )
  state = after(1, state)
  t.equal(allowed(state, 0, NOW), 5)
  state = after(2, state)
  t.equal(state.kind, 'open')
})

t.test('it recovers until so many attempts in a row have succeeded as would have opened it', async (t) => {
  let state = probed(after(3), 'succeeded', delivery(), 1)
  state = succeeded(state, 1, policy)
  state = after(1, succeeded(state, 1, policy))
  for (const isRecovered of [false, false, true]) {
    t.ok(isRecovering(state))
    state = succeeded(state, 1, policy)
    t.equal(state === HEALTHY, isRecovered)
  }
  t.notOk(isRecovering(after(1)), 'failures alone are no reason to')
})

t.test('an interrupted probe says nothing: another may be made at once', async (t) => {
  const state = interrupted(started(after(3), 17), 17, NOW + 31_000)
  t.equal(allowed(state, 0, NOW + 31_000), 1)
  t.equal(interrupted(HEALTHY, 17, NOW), HEALTHY)
})

t.test('a success that comes while it is open closes it: the target is there', async (t) => {
  t.equal(succeeded(after(3), 8, policy).kind, 'closed')
  t.equal(succeeded(started(after(3), 17), 8, policy).kind, 'closed', 'also while another delivery probes')
})
