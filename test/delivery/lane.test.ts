import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { TargetCapacity } from '../../src/delivery/capacity.ts'
import { Lane, type LaneLog, type LaneOptions } from '../../src/delivery/lane.ts'
import type { Delivery } from '../../src/domain/delivery.ts'
import { RelayError } from '../../src/domain/errors.ts'
import type { Outcome } from '../../src/domain/outcome.ts'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { SqliteOperator } from '../../src/outbox/sqlite/sqlite-operator.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { eventually } from '../eventually.ts'
import { attemptAt, newEvent, to } from '../outbox/samples.ts'
import { scratch } from '../scratch.ts'

const policy = {
  initialDelayMs: 20,
  factor: 2,
  maxDelayMs: 100,
  jitter: 0,
  giveUpAfterMs: null,
  maxAttempts: null,
}
const silent: LaneLog = {
  attempted: () => {},
  superseded: () => {},
  opened: () => {},
  closed: () => {},
  outboxUnavailable: () => {},
}

/** A real outbox, and a target whose attempts end when and as the test says. */
async function setUp(t: Test, options: Partial<LaneOptions> = {}) {
  const path = join(scratch(t), 'relay.db')
  const outbox = await SqliteOutbox.open(path, (error) => t.fail(error.message))
  const sent: { delivery: Delivery; end: (outcome: Outcome) => void }[] = []
  const target = {
    name: 'crm',
    send: (delivery: Delivery, signal: AbortSignal, onSent = () => {}) =>
      new Promise<Outcome>((resolve) => {
        onSent()
        sent.push({ delivery, end: resolve })
        signal.addEventListener('abort', () => resolve({ kind: 'interrupted' }))
      }),
    close: async () => {},
  }
  const lane = new Lane({
    target,
    outbox,
    concurrency: 2,
    rateLimit: null,
    capacity: new TargetCapacity('crm'),
    policy,
    breaker: { failures: 3, cooldownMs: 50, maxCooldownMs: 200 },
    ordered: false,
    holdOnDead: false,
    clock: { now: () => Date.now() },
    random: () => 0.5,
    log: silent,
    ...options,
  })
  lane.setPaused(false)
  t.teardown(async () => {
    await lane.stop(0)
    await outbox.close()
  })
  const record = async (count: number) => {
    for (let n = 0; n < count; n++) await outbox.record(newEvent({ receivedAt: Date.now() }), to('crm'))
    lane.wake()
  }
  /** None is sent before all are on record, so that all have their first attempts before one is retried. */
  const recordAtOnce = async (count: number) => {
    lane.setPaused(true)
    await record(count)
    lane.setPaused(false)
  }
  /** Ends attempts, counted from 0, each as soon as it is made. */
  const endEach = async (from: number, to: number, outcome: Outcome = { kind: 'delivered' }) => {
    for (let n = from; n < to; n++) {
      await eventually(() => sent.length > n, `attempt ${n}`)
      sent[n]!.end(outcome)
    }
  }
  return { outbox, path, sent, lane, record, recordAtOnce, endEach }
}

t.test('a lane sends as many at once as its concurrency, and holds no more than twice as many again', async (t) => {
  const claimed: number[] = []
  const { outbox, sent, record, endEach } = await setUp(t)
  const claim = outbox.claim.bind(outbox)
  outbox.claim = async (...args) => {
    const answer = await claim(...args)
    claimed.push(answer.deliveries.length)
    return answer
  }
  await record(12)
  await eventually(() => sent.length === 2, 'two attempts')
  sent[0]!.end({ kind: 'delivered' })
  await eventually(() => sent.length === 3, 'the next takes the free slot')
  await endEach(1, 12)
  t.ok(
    claimed.every((n) => n <= 6),
    'the target is quick, so that none of them waits for a claim',
  )
  t.equal(new Set(sent.map(({ delivery }) => delivery.deliveryId)).size, 12, 'each once')
})

t.test('what is held takes the slots that get free while a claim is under way', async (t) => {
  // A clock that stands: the attempts of this target are quick, however busy the machine.
  const now = Date.now() + 60_000
  const { outbox, sent, record, endEach } = await setUp(t, { clock: { now: () => now } })
  const claim = outbox.claim.bind(outbox)
  let letGo = () => {}
  const underWay = new Promise<void>((resolve) => {
    letGo = resolve
  })
  t.teardown(() => letGo())
  let claims = 0
  outbox.claim = async (...args) => {
    claims++
    // The first for both slots, the second for what is held beside them.
    if (claims === 3) await underWay
    return claim(...args)
  }
  await record(9)
  for (let n = 0; n < 5; n++) {
    await eventually(() => sent.length === n + 2, `${n + 2} are sent`)
    sent[n]!.end({ kind: 'delivered' })
  }
  await eventually(() => sent.length === 7, 'all that the second claim has brought')
  t.equal(claims, 3, 'meanwhile the third is under way')
  letGo()
  await endEach(5, 9)
})

t.test('a failed delivery is tried again after its delay, with its attempts counted', async (t) => {
  const { sent, record } = await setUp(t)
  await record(1)
  await eventually(() => sent.length === 1, 'first')
  const failedAt = Date.now()
  sent[0]!.end({ kind: 'failed', error: 'http 503' })
  await eventually(() => sent.length === 2, 'second')
  t.ok(Date.now() - failedAt >= 20, 'not before it is due')
  t.equal(sent[1]!.delivery.attempts, 1)
  t.equal(sent[1]!.delivery.event.eventId, sent[0]!.delivery.event.eventId)
})

t.test('what is recorded while everything is quiet goes out when the lane is woken', async (t) => {
  const { sent, lane, record } = await setUp(t)
  lane.wake()
  await record(1)
  await eventually(() => sent.length === 1, 'sent')
  t.equal(sent[0]!.delivery.target, 'crm')
})

t.test('a wake during a claim is not lost', async (t) => {
  const { outbox, sent, lane } = await setUp(t)
  const claim = outbox.claim.bind(outbox)
  let letGo = () => {}
  const held = new Promise<void>((resolve) => {
    letGo = resolve
  })
  outbox.claim = async (...args) => {
    const answer = await claim(...args)
    await held
    return answer
  }
  lane.wake()
  await outbox.record(newEvent({ receivedAt: Date.now() }), to('crm'))
  lane.wake()
  letGo()
  await eventually(() => sent.length === 1, 'sent')
  t.equal(sent[0]!.delivery.attempts, 0)
})

t.test('a rate limit spaces the starts of attempts', async (t) => {
  const { record, endEach } = await setUp(t, { rateLimit: { max: 1, perMs: 100 } })
  const startedAt = Date.now()
  await record(3)
  await endEach(0, 3)
  t.ok(Date.now() - startedAt >= 200, 'three starts take two intervals')
})

t.test('a lane goes on by itself after the outbox could not be reached for a claim', async (t) => {
  const told: string[] = []
  const { outbox, sent, record } = await setUp(t, {
    log: { ...silent, outboxUnavailable: (_, error) => told.push((error as RelayError).code) },
  })
  const claim = outbox.claim.bind(outbox)
  outbox.claim = async () => {
    outbox.claim = claim
    throw new RelayError('outbox_unavailable', 'disk full')
  }
  await record(1)
  await eventually(() => sent.length === 1, 'sent')
  t.same(told, ['outbox_unavailable'])
})

t.test('what a target has taken is settled even if the outbox cannot be reached at first', async (t) => {
  const { outbox, sent, lane, record } = await setUp(t)
  const settle = outbox.settle.bind(outbox)
  let refusals = 0
  outbox.settle = async (...args) => {
    if (refusals++ < 2) throw new RelayError('outbox_unavailable', 'disk full')
    return settle(...args)
  }
  await record(1)
  await eventually(() => sent.length === 1, 'sent')
  sent[0]!.end({ kind: 'delivered' })
  await eventually(() => refusals === 3, 'settled at the third try')
  await lane.stop(5_000)
  t.equal(sent.length, 1, 'and not sent again')
  t.same(await outbox.claim('crm', 8, Date.now() + 99_999), { deliveries: [], nextDueAt: null })
})

t.test('stopping lets a running attempt end and settles it', async (t) => {
  const { outbox, sent, lane, record } = await setUp(t)
  await record(3)
  await eventually(() => sent.length === 2, 'two run')
  const stopped = lane.stop(10_000)
  for (const { end } of sent) end({ kind: 'delivered' })
  await stopped
  t.equal(sent.length, 2, 'nothing more is started')
  t.equal((await outbox.claim('crm', 8, Date.now())).deliveries.length, 1)
})

t.test('stopping cuts short what does not end in time, and gives it back uncounted', async (t) => {
  const { outbox, sent, lane, record } = await setUp(t)
  await record(1)
  await eventually(() => sent.length === 1, 'one runs')
  await lane.stop(20)
  const { deliveries } = await outbox.claim('crm', 8, Date.now())
  t.match(deliveries, [{ attempts: 0, firstAttemptAt: null }])
})

t.test('a paused lane sends nothing, and everything when it is resumed', async (t) => {
  const { outbox, sent, lane, record } = await setUp(t)
  lane.setPaused(true)
  await record(2)
  // A claim that came in between would be answered after this one.
  await outbox.claim('other', 1, Date.now())
  t.equal(sent.length, 0)
  lane.setPaused(false)
  await eventually(() => sent.length === 2, 'both')
  t.ok(sent.every(({ delivery }) => delivery.attempts === 0))
})

t.test('a target that keeps failing is left alone, probed once, and comes back on a ramp', async (t) => {
  const told: string[] = []
  const { outbox, sent, recordAtOnce, endEach } = await setUp(t, {
    concurrency: 4,
    log: { ...silent, opened: () => told.push('opened'), closed: () => told.push('closed') },
  })
  await recordAtOnce(10)
  await endEach(0, 3, { kind: 'failed', error: 'http 503' })
  await eventually(() => told.length === 1, 'opened')
  // Those under way when it opened say nothing new.
  for (const { end } of sent.slice(3)) end({ kind: 'failed', error: 'http 503' })
  const before = sent.length
  const [state] = await outbox.targetStates()
  t.match(state, { target: 'crm', breaker: { cooldownMs: 50 } }, 'it is kept')
  await eventually(() => sent.length === before + 1, 'one probe')
  t.ok(Date.now() >= state!.breaker!.probeAt, 'not before the cooldown is over')
  sent.at(-1)!.end({ kind: 'delivered' })
  await eventually(() => sent.length === before + 3, 'two at once')
  t.same(told, ['opened', 'closed'])
  t.same((await outbox.targetStates())[0]!.breaker, null)
  let ended = before + 1
  while (ended < 10) {
    await eventually(() => sent.length > ended, 'the rest follows')
    sent[ended++]!.end({ kind: 'delivered' })
  }
})

t.test('an attempt that fails before the target is asked says nothing about the target', async (t) => {
  const told: string[] = []
  const { outbox, sent, recordAtOnce } = await setUp(t, {
    // A second failure of the same delivery would not count.
    policy: { ...policy, initialDelayMs: 60_000, maxDelayMs: 60_000 },
    log: { ...silent, opened: () => told.push('opened') },
  })
  await recordAtOnce(6)
  const outcomes: Outcome[] = [
    { kind: 'failed', error: 'transcript: timeout', unsent: true },
    { kind: 'refused', error: 'transcript: larger than 5mb', unsent: true },
    { kind: 'failed', error: 'http 503' },
    { kind: 'failed', error: 'transcript: timeout', unsent: true },
    { kind: 'failed', error: 'http 503' },
    { kind: 'failed', error: 'http 503' },
  ]
  for (const [n, outcome] of outcomes.entries()) {
    await eventually(() => sent.length > n, `attempt ${n}`)
    t.same(told, [], 'neither opens the breaker')
    sent[n]!.end(outcome)
  }
  await eventually(() => told.length === 1, 'the failures in between count on')
  t.match(await outbox.targetStates(), [{ target: 'crm' }])
})

/** Lets attempts end by themselves: those of events named `poison` always fail. */
async function withPoison(t: Test, options: Partial<LaneOptions> = {}) {
  const told: string[] = []
  const attempts: string[] = []
  /** What was told before each attempt. */
  const toldBefore: string[][] = []
  const policy = { initialDelayMs: 5, factor: 1, maxDelayMs: 5, jitter: 0, giveUpAfterMs: null, maxAttempts: 3 }
  const target = {
    name: 'crm',
    send: async ({ event: { event } }: Delivery): Promise<Outcome> => {
      attempts.push(event)
      toldBefore.push([...told])
      return event === 'poison' ? { kind: 'failed', error: 'http 500' } : { kind: 'delivered' }
    },
    close: async () => {},
  }
  const log = { ...silent, opened: () => told.push('opened'), closed: () => told.push('closed') }
  const lane = await setUp(t, { target, policy, log, ...options })
  const recordAll = async (events: readonly string[]) => {
    await Promise.all(events.map((event) => lane.outbox.record(newEvent({ receivedAt: Date.now(), event }), to('crm'))))
    lane.lane.wake()
  }
  const made = (event: string) => attempts.filter((each) => each === event).length
  return { ...lane, told, toldBefore, attempts, made, recordAll }
}

t.test('deliveries that always fail delay others by no more than one cooldown', async (t) => {
  const breaker = { failures: 10, cooldownMs: 200, maxCooldownMs: 1_000 }
  const poison = Array(30).fill('poison')
  for (const [concurrency, how] of [
    [1, 'new'],
    [8, 'new'],
    [1, 'retried by an operator'],
    [8, 'retried by an operator'],
  ] as const) {
    const { outbox, path, lane, told, toldBefore, attempts, made, recordAll } = await withPoison(t, {
      concurrency,
      breaker,
    })
    if (how === 'new') await recordAll(poison)
    else {
      lane.setPaused(true)
      await recordAll(poison)
      const { deliveries } = await outbox.claim('crm', 30, Date.now())
      await Promise.all(deliveries.map((each) => outbox.settle(each, attemptAt(each, 'failed'), { state: 'dead' })))
      const operator = SqliteOperator.open(path)
      t.equal(await operator.retryDeliveries({}, Date.now()), 30)
      await operator.close()
      lane.setPaused(false)
    }
    await eventually(() => told.length === 1, 'they open the circuit')
    await recordAll(Array(20).fill('good'))
    const from = attempts.length
    await eventually(() => made('good') === 20, 'all the others')
    t.ok(attempts.slice(from).indexOf('good') <= 1, `${how}: one of the others is the next probe`)
    // What is left then always fails, and opens it again.
    const toldAtLast = toldBefore[attempts.lastIndexOf('good')]
    t.same(toldAtLast, ['opened', 'closed'], `${how}: and the circuit stays closed until all are sent`)
  }
})

t.test('deliveries that fail again and again do not open the circuit', async (t) => {
  const { told, made, recordAll } = await withPoison(t, { concurrency: 1 })
  await recordAll(['good', 'poison', 'good', 'poison', 'good'])
  await eventually(() => made('poison') === 6, 'they are dead')
  t.equal(made('good'), 3)
  t.same(told, [], 'two different ones')
})

t.test('a new delivery that finds only failed ones due is the next probe', async (t) => {
  const breaker = { failures: 3, cooldownMs: 200, maxCooldownMs: 200 }
  const { outbox, told, attempts, recordAll } = await withPoison(t, { breaker })
  await recordAll(['poison', 'poison', 'poison'])
  await eventually(() => told.length === 1, 'opened')
  const { probeAt } = (await outbox.targetStates())[0]!.breaker!
  const before = attempts.length
  await recordAll(['good'])
  t.equal(attempts.length, before, 'not before the cooldown is over')
  await eventually(() => told.length === 2, 'closed')
  t.equal(attempts[before], 'good')
  t.ok(Date.now() >= probeAt)
})

t.test('attempts that hang keep a target neither from being probed nor from recovering', async (t) => {
  const { outbox, sent, recordAtOnce } = await setUp(t, { concurrency: 4 })
  const breaker = async () => (await outbox.targetStates())[0]?.breaker
  await recordAtOnce(12)
  for (const n of [2, 3, 4]) {
    await eventually(() => sent.length >= n + 2, 'all slots are taken')
    sent[n]!.end({ kind: 'failed', error: 'http 503' })
  }
  await eventually(async () => (await breaker()) !== undefined, 'opened, with three attempts under way')
  await eventually(() => sent.length === 7, 'a probe beside them')
  const open = await breaker()
  t.ok(Date.now() >= open!.probeAt)
  sent[5]!.end({ kind: 'failed', error: 'timeout' })
  t.same(await breaker(), open, 'its failure is not that of the probe')
  t.equal(sent.length, 7, 'which is still the only attempt')
  sent[6]!.end({ kind: 'delivered' })
  await eventually(() => sent.length === 9, 'two at once, as after any opening, beside two that still hang')
  t.equal(await breaker(), null)
})

t.test('what is claimed ahead is given back when the circuit opens', async (t) => {
  const { outbox, sent, recordAtOnce } = await setUp(t, {
    breaker: { failures: 3, cooldownMs: 60_000, maxCooldownMs: 60_000 },
  })
  await recordAtOnce(12)
  for (let n = 0; n < 3; n++) {
    await eventually(() => sent.length >= n + 2, 'both slots are taken')
    sent[n]!.end({ kind: 'failed', error: 'http 503' })
  }
  await eventually(async () => (await outbox.targetStates()).length === 1, 'opened')
  const { deliveries } = await outbox.claim('crm', 99, Date.now() + 1_000)
  t.equal(deliveries.length, 11, 'all but one that is under way')
})

t.test('a slot that was reserved before the circuit opened is not used', async (t) => {
  let now = Date.now() + 60_000
  const { outbox, sent, lane, record } = await setUp(t, { concurrency: 5, clock: { now: () => now } })
  await record(3)
  await eventually(() => sent.length === 3, 'three attempts')
  await eventually(() => lane.reserve(100), 'a slot is free')
  for (const { end } of sent) end({ kind: 'failed', error: 'http 503' })
  await eventually(async () => (await outbox.targetStates()).length === 1, 'opened')
  const { leased } = await outbox.record(newEvent({ receivedAt: Date.now() }), [
    { target: 'crm', ordered: false, lease: true },
  ])
  lane.send(leased[0]!)
  t.equal(sent.length, 3)
  t.equal(lane.reserve(100), false)
  now += 50
  await eventually(() => sent.length === 4, 'a probe')
  t.equal(sent[3]!.delivery.deliveryId, leased[0]!.deliveryId, 'it is claimed as any other')
})

t.test('each failed probe is on record, and a pause neither ends the cooldown nor starts it again', async (t) => {
  const { outbox, sent, lane, recordAtOnce, endEach } = await setUp(t, {
    concurrency: 1,
    breaker: { failures: 3, cooldownMs: 100, maxCooldownMs: 1_000 },
  })
  const breaker = async () => (await outbox.targetStates())[0]?.breaker
  await recordAtOnce(4)
  await endEach(0, 4, { kind: 'failed', error: 'http 503' })
  await eventually(async () => (await breaker())?.lastProbe !== undefined, 'a probe has failed')
  const open = await breaker()
  t.match(open, { cooldownMs: 200, lastProbe: sent[3]!.delivery.deliveryId })
  lane.setPaused(true)
  lane.setPaused(false)
  t.equal(sent.length, 4)
  await endEach(4, 5, { kind: 'failed', error: 'http 503' })
  t.ok(Date.now() >= open!.probeAt)
  await eventually(async () => (await breaker())?.lastProbe !== open!.lastProbe, 'the next one has failed')
  t.match(await breaker(), { cooldownMs: 200 }, 'of a delivery that had failed before')
  await endEach(5, 6)
  await eventually(async () => (await breaker()) === null, 'closed')
})

t.test('an open breaker of the last run is taken up', async (t) => {
  const { outbox, sent, lane, record } = await setUp(t)
  const probeAt = Date.now() + 100
  lane.restoreBreaker({ probeAt, cooldownMs: 100 })
  await record(2)
  await outbox.claim('other', 1, Date.now())
  await eventually(() => sent.length === 1, 'one probe')
  t.ok(Date.now() >= probeAt)
})

t.test('a breaker that was opened by a clock that was ahead waits for no longer than its cooldown', async (t) => {
  const { sent, lane, record } = await setUp(t)
  lane.restoreBreaker({ probeAt: Date.now() + 86_400_000, cooldownMs: 100 })
  await record(1)
  await eventually(() => sent.length === 1, 'one probe')
})

t.test('what was put off by a clock that was ahead is sent at once', async (t) => {
  const { outbox, sent, lane } = await setUp(t, { ordered: true })
  const callId = 'of a call'
  for (const event of ['first', 'second']) {
    const receivedAt = Date.now() + 86_400_000
    await outbox.record(newEvent({ receivedAt, callId, event }), [{ target: 'crm', ordered: true }])
  }
  lane.wake()
  await eventually(() => sent.length === 1, 'the first of the call')
  sent[0]!.end({ kind: 'delivered' })
  await eventually(() => sent.length === 2, 'and the second, which was not ready before')
  t.same(
    sent.map(({ delivery }) => delivery.event.event),
    ['first', 'second'],
  )
})

t.test('the next of a call is sent once the attempt at a cancelled one has ended', async (t) => {
  const superseded: unknown[] = []
  const log = {
    ...silent,
    superseded: (_: Delivery, { outcome }: { outcome: string }, settled: string) => superseded.push([outcome, settled]),
  }
  const { outbox, path, sent, lane } = await setUp(t, { ordered: true, log })
  for (const event of ['first', 'second']) {
    await outbox.record(newEvent({ receivedAt: Date.now(), callId: 'c', event }), [{ target: 'crm', ordered: true }])
  }
  lane.wake()
  await eventually(() => sent.length === 1, 'the first of the call')
  const operator = SqliteOperator.open(path)
  t.equal(await operator.cancelDeliveries({ deliveryIds: [sent[0]!.delivery.deliveryId] }, Date.now()), 1)
  lane.wake()
  // Once this is answered, so is the lane.
  await outbox.claim('crm', 1, Date.now())
  t.equal(sent.length, 1)
  sent[0]!.end({ kind: 'delivered' })
  await eventually(() => sent.length === 2, 'the second')
  t.equal(sent[1]!.delivery.event.event, 'second')
  t.same(superseded, [['delivered', 'cancelled']])
  t.match(await operator.showDelivery(sent[0]!.delivery.deliveryId), { state: 'cancelled', attempts: 1 })
  await operator.close()
})

t.test('a refusal is an answer: it opens no breaker', async (t) => {
  const { outbox, record, endEach } = await setUp(t, { concurrency: 1 })
  await record(5)
  await endEach(0, 5, { kind: 'refused', error: 'http 404' })
  t.same(await outbox.targetStates(), [])
})

t.test('a lane with nothing to do takes a delivery straight from the commit, without a claim', async (t) => {
  const { outbox, sent, lane } = await setUp(t)
  const claim = outbox.claim.bind(outbox)
  let claims = 0
  outbox.claim = async (...args) => {
    claims += 1
    return claim(...args)
  }
  lane.wake()
  await eventually(() => lane.reserve(0), 'it knows that nothing waits')
  t.equal(lane.reserve(0), true, 'its second slot')
  t.equal(lane.reserve(0), false, 'and no third')
  lane.cancelReservation(0)
  const before = claims
  const deliveries = [{ target: 'crm', ordered: false, lease: true }]
  const { leased } = await outbox.record(newEvent({ receivedAt: Date.now() }), deliveries)
  lane.send(leased[0]!)
  t.equal(sent.length, 1)
  sent[0]!.end({ kind: 'delivered' })
  await lane.stop(5_000)
  t.equal(claims, before)
  t.same(await outbox.claim('crm', 8, Date.now() + 99_999), { deliveries: [], nextDueAt: null }, 'it is settled')
})

t.test(
  'a lane reserves nothing while something older waits, while it is paused, or when its slots are taken',
  async (t) => {
    const { outbox, sent, lane, record } = await setUp(t, { concurrency: 1 })
    t.equal(lane.reserve(0), false, 'before it has looked, anything may wait')
    await record(2)
    await eventually(() => sent.length === 1, 'one is sent')
    t.equal(lane.reserve(0), false)
    sent[0]!.end({ kind: 'delivered' })
    await eventually(() => sent.length === 2, 'the other')
    sent[1]!.end({ kind: 'delivered' })
    await eventually(() => lane.reserve(0), 'nothing waits any more')
    lane.cancelReservation(0)
    lane.setPaused(true)
    t.equal(lane.reserve(0), false)
    t.same(await outbox.claim('crm', 8, Date.now()), { deliveries: [], nextDueAt: null })
  },
)

t.test('what is cancelled and tried anew during its attempt goes out once that has ended', async (t) => {
  const { outbox, path, sent, lane, record } = await setUp(t)
  await record(1)
  await eventually(() => sent.length === 1, 'the first attempt')
  const operator = SqliteOperator.open(path)
  t.equal(await operator.cancelDeliveries({}, Date.now()), 1)
  t.equal(await operator.retryDeliveries({}, Date.now()), 1)
  await operator.close()
  lane.wake()
  // Once this is answered, so is the lane: there is nothing to claim.
  await outbox.claim('crm', 1, Date.now())
  t.equal(sent.length, 1, 'not while it is in hand')
  sent[0]!.end({ kind: 'failed', error: 'http 503' })
  await eventually(() => sent.length === 2, 'the new round')
  t.equal(sent[1]!.delivery.round, 2)
})

t.test('what a lane has claimed ahead is dropped on request, and claimed again unless it was cancelled', async (t) => {
  const now = Date.now() + 60_000
  const { outbox, path, sent, lane, record, endEach } = await setUp(t, { concurrency: 1, clock: { now: () => now } })
  await record(4)
  await endEach(0, 1)
  await eventually(() => sent.length === 2, 'the second attempt')
  await eventually(
    async () => (await outbox.claim('crm', 9, now)).deliveries.length === 0,
    'the other two are held, for the target is quick',
  )
  const [held] = [3, 4]
  const operator = SqliteOperator.open(path)
  t.equal(await operator.cancelDeliveries({ deliveryIds: [held!] }, now), 1)
  await operator.close()
  lane.dropClaimed()
  t.same(lane.attemptsUnderWay(), [{ deliveryId: 2, target: 'crm', startedAt: now }])
  await endEach(1, 3)
  t.same(
    sent.map(({ delivery }) => delivery.deliveryId),
    [1, 2, 4],
  )
  await lane.stop(5_000)
  t.same(lane.attemptsUnderWay(), [])
})

t.test('a lane whose rate is reserved does not wake itself, and goes on once that is used', async (t) => {
  let asked = 0
  const stopwatch = () => {
    asked += 1
    return performance.now()
  }
  const capacity = new TargetCapacity('crm', stopwatch)
  const { outbox, sent, lane } = await setUp(t, { rateLimit: { max: 1, perMs: 50 }, capacity })
  await eventually(() => lane.reserve(0), 'nothing waits')
  await outbox.record(newEvent({ receivedAt: Date.now() }), to('crm'))
  lane.wake()
  const before = asked
  // Some turns of the timers, in which it would have asked again.
  for (let turn = 0; turn < 5; turn++) await sleep(2)
  t.equal(asked, before)
  const { leased } = await outbox.record(newEvent({ receivedAt: Date.now() }), [
    { target: 'crm', ordered: false, lease: true },
  ])
  lane.send(leased[0]!)
  await eventually(() => sent.length === 2, 'and then the one that waited, while the first is still under way')
})

t.test('a lane goes on where its rate limit has more by the time it asks how long to wait', async (t) => {
  let available = 0
  const capacity = new TargetCapacity('crm')
  capacity.rate = () => ({
    available: () => available,
    waitMs() {
      available = 1
      return 0
    },
    leave: () => {},
  })
  const { outbox, sent, lane } = await setUp(t, { rateLimit: { max: 1, perMs: 1_000 }, capacity })
  await outbox.record(newEvent({ receivedAt: Date.now() }), to('crm'))
  available = 0
  lane.wake()
  await eventually(() => sent.length === 1, 'it is sent')
})

t.test('the slot of a delivery that was cancelled while its attachments were fetched is used at once', async (t) => {
  const { sent, record } = await setUp(t, { concurrency: 1, capacity: new TargetCapacity('crm') })
  await record(2)
  await eventually(() => sent.length === 1, 'the first')
  sent[0]!.end({ kind: 'interrupted' })
  await eventually(() => sent.length === 2, 'the next')
})

/** A lane whose target does what `send` does; what is logged of it, in order. */
async function misbehaving(t: Test, send: LaneOptions['target']['send'], options: Partial<LaneOptions> = {}) {
  const logged: string[] = []
  const log: LaneLog = {
    ...silent,
    attempted: (_, { outcome, error }, { state }) => logged.push(`${outcome} ${error} ${state}`),
    misbehaved: (_, error) => logged.push(`misbehaved: ${(error as Error).message}`),
    unrecorded: (_, { message }) => logged.push(`unrecorded: ${message}`),
  }
  const target = { name: 'crm', send, close: async () => {} }
  return { logged, ...(await setUp(t, { target, log, policy: { ...policy, maxAttempts: 2 }, ...options })) }
}

const THROWING: Record<string, LaneOptions['target']['send']> = {
  rejects: async () => {
    throw new Error('boom')
  },
  throws: () => {
    throw new Error('boom')
  },
}

for (const [how, throwing] of Object.entries(THROWING)) {
  t.test(`a target whose send ${how} has failed: its slot and its delivery are free again`, async (t) => {
    const { logged, record } = await misbehaving(t, throwing, { concurrency: 1 })
    await record(2)
    await eventually(() => logged.filter((line) => line.endsWith('dead')).length === 2, 'both end')
    t.same(logged.sort(), [
      ...Array(2).fill('failed internal error: boom dead'),
      ...Array(2).fill('failed internal error: boom pending'),
      ...Array(4).fill('misbehaved: boom'),
    ])
  })
}

t.test('a target that cannot be closed does not keep other lanes from stopping', async (t) => {
  const { lane, logged } = await misbehaving(t, async () => ({ kind: 'delivered' }))
  const cannotClose = new Lane({
    target: {
      name: 'crm',
      send: async () => ({ kind: 'delivered' }),
      close: () => Promise.reject(new Error('no')),
    },
    outbox: { claim: () => new Promise(() => {}) } as unknown as LaneOptions['outbox'],
    concurrency: 1,
    rateLimit: null,
    capacity: new TargetCapacity('crm'),
    policy,
    breaker: { failures: 3, cooldownMs: 50, maxCooldownMs: 200 },
    ordered: false,
    holdOnDead: false,
    clock: { now: () => Date.now() },
    random: () => 0.5,
    log: { ...silent, misbehaved: (_, error) => logged.push(`misbehaved: ${(error as Error).message}`) },
  })
  await Promise.all([cannotClose.stop(0), lane.stop(0)])
  t.same(logged, ['misbehaved: no'])
})

t.test('an attempt that the outbox can never record is recorded without its answer', async (t) => {
  const { outbox, logged, path, record } = await misbehaving(t, async () => ({ kind: 'delivered', response: 'bad' }))
  const database = openDatabase(path)
  t.teardown(() => database.close())
  database.exec(`
    create trigger no_such_answer before insert on attempts when new.response is not null
    begin select raise(abort, 'not this answer'); end`)
  await record(1)
  await eventually(() => logged.length > 0, 'it ends')
  t.same(logged, ['delivered null delivered'])
  t.match(await outbox.tally(['crm'], Date.now()), { due: 0, dead: 0 })
})

t.test('an attempt that the outbox can never record is reported once, and not made again', async (t) => {
  const sent: number[] = []
  const send = async ({ deliveryId }: Delivery): Promise<Outcome> => {
    sent.push(deliveryId)
    return { kind: 'delivered' }
  }
  const { outbox, logged, path, lane, record } = await misbehaving(t, send, { concurrency: 1 })
  let settled = 0
  const settle = outbox.settle.bind(outbox)
  outbox.settle = (...args) => {
    settled++
    return settle(...args)
  }
  const database = openDatabase(path)
  t.teardown(() => database.close())
  database.exec(`
    create trigger no_such_attempt before insert on attempts when new.delivery_id = 1
    begin select raise(abort, 'not this one'); end`)
  await record(2)
  await eventually(() => logged.includes('delivered null delivered'), 'the other one is delivered')
  await eventually(() => logged.length === 2, 'and this one is reported')
  t.match(
    logged.find((line) => line.startsWith('unrecorded')),
    /not this one/,
  )
  lane.wake()
  await outbox.targetStates()
  t.same(sent, [1, 2])
  t.ok(settled <= 3, `${settled} settlements were tried`)
})

t.test('an attempt that does not end when it is cut short is given back, and the lane stops', async (t) => {
  const never = () => new Promise<Outcome>(() => {})
  const { logged, lane, outbox, record } = await misbehaving(t, never, { abandonMs: 20 })
  await record(1)
  await eventually(async () => (await outbox.claim('crm', 1, Date.now())).deliveries.length === 0, 'it is sent')
  await lane.stop(0)
  t.same(logged, ['misbehaved: the attempt did not end when it was cut short'])
  t.equal((await outbox.claim('crm', 1, Date.now())).deliveries.length, 1, 'its lease is given back')
})

t.test('what observes a lane and throws costs no delivery', async (t) => {
  const { logged, record } = await misbehaving(t, async () => ({ kind: 'failed', error: 'http 500' }), {
    concurrency: 1,
    breaker: { failures: 1, cooldownMs: 1, maxCooldownMs: 1 },
    log: {
      ...silent,
      opened() {
        throw new Error('observer')
      },
      attempted: (_, { outcome }, { state }) => logged.push(`${outcome} ${state}`),
    },
  })
  await record(1)
  await eventually(() => logged.includes('failed dead'), 'it ends')
})

t.test(
  'neither a pause nor a suspend during an attempt uses up the time for a delivery, nor does a stop',
  async (t) => {
    const DAY_MS = 24 * 3_600_000
    const interruptions: Readonly<Record<string, (lane: Lane, pass: (ms: number) => void) => void>> = {
      'paused and resumed'(lane, pass) {
        lane.setPaused(true)
        pass(DAY_MS)
        lane.setPaused(false)
      },
      'paused at its end'(lane, pass) {
        lane.setPaused(true)
        pass(DAY_MS)
      },
      suspended(lane, pass) {
        pass(DAY_MS)
        lane.skipTime(DAY_MS)
      },
      stopped(lane, pass) {
        void lane.stop(10_000)
        pass(59_000)
      },
    }
    for (const [what, interrupt] of Object.entries(interruptions)) {
      let now = Date.now() + 60_000
      const states: string[] = []
      const { sent, lane, record } = await setUp(t, {
        clock: { now: () => now },
        policy: { ...policy, giveUpAfterMs: 6_000 },
        log: { ...silent, attempted: (_, __, { state }) => states.push(state) },
      })
      await record(1)
      await eventually(() => sent.length === 1, 'an attempt')
      interrupt(lane, (ms) => {
        now += ms
      })
      sent[0]!.end({ kind: 'failed', error: 'http 503' })
      await eventually(() => states.length === 1, 'it ends')
      t.same(states, ['pending'], what)
    }
  },
)

t.test('a new event is next to be sent, however many deliveries wait in the background', async (t) => {
  const { outbox, lane, sent, endEach } = await setUp(t, { rateLimit: { max: 20, perMs: 1_000 } })
  const received = Date.now()
  const fetched = Array.from({ length: 700 }, () => newEvent({ receivedAt: received, origin: 'reconcile' }))
  await Promise.all(fetched.map((event) => outbox.record(event, to('crm'))))
  lane.wake()
  await endEach(0, 22)
  await outbox.record(newEvent({ eventId: 'live', receivedAt: Date.now() }), to('crm'))
  lane.wake()
  await endEach(22, 27)
  const place = sent.findIndex(({ delivery }) => delivery.event.eventId === 'live')
  t.ok(place >= 22 && place <= 24, `sent as number ${place}`)
})

t.test('a lane takes a new event straight from the commit, whatever waits in the background', async (t) => {
  const { outbox, lane, sent, endEach } = await setUp(t)
  const claim = outbox.claim.bind(outbox)
  let letGo = () => {}
  const held = new Promise<void>((resolve) => {
    letGo = resolve
  })
  t.teardown(() => letGo())
  for (let n = 0; n < 9; n++) await outbox.record(newEvent({ receivedAt: 1_000, origin: 'reconcile' }), to('crm'))
  lane.wake()
  await eventually(() => sent.length === 2, 'both slots are in use')
  t.notOk(lane.reserve(100), 'and none is free')
  outbox.claim = async (...args) => {
    await held
    return claim(...args)
  }
  sent[0]!.end({ kind: 'delivered' })
  await eventually(() => lane.reserve(100), 'a slot is free, and its claim is under way')
  const asked = [{ target: 'crm', ordered: false, lease: true }]
  const { leased } = await outbox.record(newEvent({ eventId: 'live', receivedAt: Date.now() }), asked)
  lane.send(leased[0]!)
  t.equal(sent[2]!.delivery.event.eventId, 'live')
  t.notOk(lane.reserve(100))
  letGo()
  await endEach(1, 10)
  t.equal(new Set(sent.map(({ delivery }) => delivery.deliveryId)).size, 10, 'each once')
})

t.test('a new event does not pass live ones that wait', async (t) => {
  const { outbox, lane, sent, record, endEach } = await setUp(t)
  await outbox.record(newEvent({ receivedAt: 1_000, origin: 'reconcile' }), to('crm'))
  await record(4)
  await eventually(() => sent.length === 2, 'both slots are in use')
  sent[0]!.end({ kind: 'delivered' })
  t.notOk(lane.reserve(100), 'nothing is handed over while live deliveries wait')
  await endEach(1, 5)
})
