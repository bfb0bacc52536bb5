import fc from 'fast-check'
import t from 'tap'
import type { RetryPolicy } from '../../src/domain/backoff.ts'
import type { Delivery } from '../../src/domain/delivery.ts'
import type { CountedOutcome } from '../../src/domain/outcome.ts'
import { settle } from '../../src/domain/settlement.ts'
import { anyAttempt, anyPolicy, anyRandom, PLAIN } from './retry-policies.ts'

const T = Date.UTC(2026, 0, 15, 12)
const HOUR_MS = 3_600_000
const failed: CountedOutcome = { kind: 'failed', error: 'connection refused' }
const middle = () => 0.5

function delivery(attempts: number, firstAttemptAt: number | null): Delivery {
  const event = { eventId: 'e', source: 's', event: 'call.ended', callId: 'c', receivedAt: T, contentType: null }
  return {
    deliveryId: 1,
    target: 'crm',
    attempts,
    round: 1,
    roundAttempts: attempts,
    firstAttemptAt,
    event: { ...event, body: new Uint8Array() },
  }
}

function settleFailure(
  { attempts = 0, firstAttemptAt = null as number | null, startedAt = T, endedAt = T, outcome = failed },
  policy: RetryPolicy,
) {
  return settle(delivery(attempts, firstAttemptAt), { startedAt, endedAt, outcome }, policy, middle).settlement
}

t.test('a delivered attempt ends its delivery, whatever the policy', async (t) => {
  const outcome: CountedOutcome = { kind: 'delivered', status: 204, response: 'ok' }
  const policy = { ...PLAIN, maxAttempts: 1, giveUpAfterMs: 1 }
  const { attempt, settlement } = settle(delivery(4, T), { startedAt: T + 9, endedAt: T + 30, outcome }, policy, middle)
  t.same(settlement, { state: 'delivered' })
  t.same(attempt, {
    attempt: 5,
    startedAt: T + 9,
    durationMs: 21,
    outcome: 'delivered',
    status: 204,
    error: null,
    response: 'ok',
    note: null,
  })
})

t.test('a refused attempt makes its delivery dead at once', async (t) => {
  const outcome: CountedOutcome = { kind: 'refused', error: 'status 404', status: 404 }
  const { attempt, settlement } = settle(delivery(0, null), { startedAt: T, endedAt: T, outcome }, PLAIN, middle)
  t.same(settlement, { state: 'dead' })
  t.match(attempt, { attempt: 1, outcome: 'refused', status: 404, error: 'status 404', response: null })
})

t.test('a failed attempt makes its delivery pending, due after the pause', async (t) => {
  t.same(settleFailure({ endedAt: T + 70 }, PLAIN), { state: 'pending', dueAt: T + 5_070 })
  t.same(settleFailure({ attempts: 2, firstAttemptAt: T - HOUR_MS }, PLAIN), { state: 'pending', dueAt: T + 20_000 })
})

t.test('what an attempt does not tell is null', async (t) => {
  const { attempt } = settle(delivery(0, null), { startedAt: T, endedAt: T, outcome: failed }, PLAIN, middle)
  t.match(attempt, { status: null, response: null, error: 'connection refused' })
})

t.test('a status of 0, an exit code, is kept', async (t) => {
  const outcome: CountedOutcome = { kind: 'delivered', status: 0, response: '' }
  const { attempt } = settle(delivery(0, null), { startedAt: T, endedAt: T, outcome }, PLAIN, middle)
  t.match(attempt, { status: 0, response: '' })
})

t.test('a long error or note is cut to 500 characters', async (t) => {
  const outcome: CountedOutcome = { kind: 'failed', error: 'x'.repeat(10_000), note: 'y'.repeat(10_000) }
  const { attempt } = settle(delivery(0, null), { startedAt: T, endedAt: T, outcome }, PLAIN, middle)
  t.match(attempt, { error: 'x'.repeat(500), note: 'y'.repeat(500) })
})

t.test('maxAttempts counts the first attempt, and the last one it allows is made', async (t) => {
  const policy = { ...PLAIN, maxAttempts: 3 }
  t.equal(settleFailure({ attempts: 0 }, policy).state, 'pending')
  t.equal(settleFailure({ attempts: 1, firstAttemptAt: T }, policy).state, 'pending')
  t.equal(settleFailure({ attempts: 2, firstAttemptAt: T }, policy).state, 'dead')
})

t.test('a maxAttempts of 1 never tries again', async (t) => {
  t.same(settleFailure({}, { ...PLAIN, maxAttempts: 1 }), { state: 'dead' })
})

t.test('more attempts than a policy made smaller meanwhile allows are the end too', async (t) => {
  t.same(settleFailure({ attempts: 7, firstAttemptAt: T }, { ...PLAIN, maxAttempts: 3 }), { state: 'dead' })
})

t.test('an attempt due exactly at giveUpAfter is still made, a millisecond later it is not', async (t) => {
  const policy = { ...PLAIN, giveUpAfterMs: HOUR_MS }
  const firstAttemptAt = T + 10_000 - HOUR_MS
  t.same(settleFailure({ attempts: 1, firstAttemptAt }, policy), { state: 'pending', dueAt: T + 10_000 })
  t.same(settleFailure({ attempts: 1, firstAttemptAt: firstAttemptAt - 1 }, policy), { state: 'dead' })
})

t.test('giveUpAfter runs from the start of the first attempt, also when that has only just ended', async (t) => {
  const policy = { ...PLAIN, giveUpAfterMs: 6_000 }
  t.same(settleFailure({ endedAt: T + 1_000 }, policy), { state: 'pending', dueAt: T + 6_000 })
  t.same(settleFailure({ endedAt: T + 1_001 }, policy), { state: 'dead' })
})

t.test('the first of giveUpAfter and maxAttempts wins', async (t) => {
  const both = { ...PLAIN, giveUpAfterMs: HOUR_MS, maxAttempts: 5 }
  t.same(settleFailure({ attempts: 4, firstAttemptAt: T }, both), { state: 'dead' })
  t.same(settleFailure({ attempts: 1, firstAttemptAt: T - HOUR_MS }, both), { state: 'dead' })
  t.equal(settleFailure({ attempts: 3, firstAttemptAt: T }, both).state, 'pending')
})

t.test('a Retry-After beyond giveUpAfter makes the delivery dead', async (t) => {
  const policy = { ...PLAIN, giveUpAfterMs: HOUR_MS }
  const asking = (retryAfterMs: number): CountedOutcome => ({ kind: 'failed', error: 'status 429', retryAfterMs })
  t.same(settleFailure({ outcome: asking(HOUR_MS) }, policy), { state: 'pending', dueAt: T + HOUR_MS })
  t.same(settleFailure({ endedAt: T + 1, outcome: asking(HOUR_MS) }, policy), { state: 'dead' })
})

t.test('a Retry-After does not matter to an attempt that was delivered or refused', async (t) => {
  t.same(settleFailure({ outcome: { kind: 'refused', error: 'no' } }, PLAIN), { state: 'dead' })
  t.same(settleFailure({ outcome: { kind: 'delivered' } }, PLAIN), { state: 'delivered' })
})

t.test('a clock set back during an attempt gives a duration of 0 and the pause from the new time', async (t) => {
  const finished = { startedAt: T, endedAt: T - HOUR_MS, outcome: failed }
  const { attempt, settlement } = settle(delivery(0, null), finished, { ...PLAIN, giveUpAfterMs: HOUR_MS }, middle)
  t.equal(attempt.durationMs, 0)
  t.same(settlement, { state: 'pending', dueAt: T - HOUR_MS + 5_000 })
})

t.test('a clock set back before the first attempt began only gives more time', async (t) => {
  const policy = { ...PLAIN, giveUpAfterMs: HOUR_MS }
  const settlement = settleFailure({ attempts: 3, firstAttemptAt: T + 24 * HOUR_MS }, policy)
  t.same(settlement, { state: 'pending', dueAt: T + 40_000 })
})

t.test('whatever the policy and the times, a delivery is due within its bounds or dead', async (t) => {
  const end = fc.record({
    giveUpAfterMs: fc.option(fc.integer({ min: 1, max: 365 * 24 * HOUR_MS })),
    maxAttempts: fc.option(fc.integer({ min: 1, max: 1_000_000 })),
  })
  const times = fc.record({
    firstAttemptAt: fc.option(fc.integer({ min: T - 400 * 24 * HOUR_MS, max: T + HOUR_MS })),
    startedAt: fc.integer({ min: T - HOUR_MS, max: T }),
    endedAt: fc.integer({ min: T - 2 * HOUR_MS, max: T + HOUR_MS }),
  })
  fc.assert(
    fc.property(anyPolicy, end, times, anyAttempt, anyRandom, (base, ends, at, number, random) => {
      const policy = { ...base, ...ends }
      const finished = { startedAt: at.startedAt, endedAt: at.endedAt, outcome: failed }
      const { attempt, settlement } = settle(delivery(number - 1, at.firstAttemptAt), finished, policy, () => random)
      const counted = attempt.attempt === number && attempt.durationMs >= 0
      const spent = policy.maxAttempts !== null && number >= policy.maxAttempts
      const first = at.firstAttemptAt ?? at.startedAt
      if (settlement.state === 'dead') return counted && (spent || policy.giveUpAfterMs !== null)
      if (settlement.state === 'delivered' || spent || settlement.dueAt < at.endedAt) return false
      return counted && (policy.giveUpAfterMs === null || settlement.dueAt - first <= policy.giveUpAfterMs)
    }),
    { numRuns: 3_000 },
  )
  t.pass()
})

t.test('time during an attempt in which nothing could be tried does not count', async (t) => {
  const policy = { ...PLAIN, giveUpAfterMs: HOUR_MS }
  const finished = { startedAt: T, endedAt: T + 9 * HOUR_MS, outcome: failed }
  const of = (firstAttemptAt: number | null, stopped: { stoppedMs?: number; isStopped?: boolean }) =>
    settle(delivery(firstAttemptAt === null ? 0 : 1, firstAttemptAt), { ...finished, ...stopped }, policy, middle)
      .settlement
  t.same(of(null, {}), { state: 'dead' })
  const stoppedMs = 9 * HOUR_MS - 1_000
  t.match(of(null, { stoppedMs }), { state: 'pending', firstAttemptAt: T + stoppedMs })
  t.match(of(T - 60_000, { stoppedMs }), { state: 'pending', firstAttemptAt: T - 60_000 + stoppedMs })
  t.same(of(T - HOUR_MS, { stoppedMs }), { state: 'dead' })
  const justWithin = T - HOUR_MS + 1_000
  t.same(of(justWithin, { stoppedMs }), { state: 'dead' }, 'the next attempt would be too late')
  t.match(of(justWithin, { stoppedMs, isStopped: true }), { state: 'pending' }, 'not if the time stands still')
})
