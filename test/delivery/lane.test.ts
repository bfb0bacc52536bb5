import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Lane, type LaneLog, type LaneOptions } from '../../src/delivery/lane.ts'
import type { Delivery } from '../../src/domain/delivery.ts'
import { RelayError } from '../../src/domain/errors.ts'
import type { Outcome } from '../../src/domain/outcome.ts'
import { createRate, UNLIMITED } from '../../src/domain/rate-limit.ts'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { SqliteOperator } from '../../src/outbox/sqlite/sqlite-operator.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { eventually } from '../eventually.ts'
import { newEvent, to } from '../outbox/samples.ts'
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
    send: (delivery: Delivery, signal: AbortSignal) =>
      new Promise<Outcome>((resolve) => {
        sent.push({ delivery, end: resolve })
        signal.addEventListener('abort', () => resolve({ kind: 'interrupted' }))
      }),
    close: async () => {},
  }
  const lane = new Lane({
    target,
    outbox,
    concurrency: 2,
    rate: UNLIMITED,
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
  /** Ends attempts, counted from 0, each as soon as it is made. */
  const endEach = async (from: number, to: number, outcome: Outcome = { kind: 'delivered' }) => {
    for (let n = from; n < to; n++) {
      await eventually(() => sent.length > n, `attempt ${n}`)
      sent[n]!.end(outcome)
    }
  }
  return { outbox, path, sent, lane, record, endEach }
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
  const { record, endEach } = await setUp(t, { rate: createRate({ max: 1, perMs: 100 }) })
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
  const { outbox, sent, record, endEach } = await setUp(t, {
    concurrency: 4,
    log: { ...silent, opened: () => told.push('opened'), closed: () => told.push('closed') },
  })
  await record(10)
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
  const { outbox, sent, record } = await setUp(t, { log: { ...silent, opened: () => told.push('opened') } })
  await record(6)
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
  await eventually(() => lane.reserve(), 'it knows that nothing waits')
  t.equal(lane.reserve(), true, 'its second slot')
  t.equal(lane.reserve(), false, 'and no third')
  lane.cancelReservation()
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
    t.equal(lane.reserve(), false, 'before it has looked, anything may wait')
    await record(2)
    await eventually(() => sent.length === 1, 'one is sent')
    t.equal(lane.reserve(), false)
    sent[0]!.end({ kind: 'delivered' })
    await eventually(() => sent.length === 2, 'the other')
    sent[1]!.end({ kind: 'delivered' })
    await eventually(() => lane.reserve(), 'nothing waits any more')
    lane.cancelReservation()
    lane.setPaused(true)
    t.equal(lane.reserve(), false)
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
  const rate = createRate({ max: 1, perMs: 50 })
  let asked = 0
  const counting = {
    ...rate,
    available(now: number) {
      asked += 1
      return rate.available(now)
    },
  }
  const { outbox, sent, lane } = await setUp(t, { rate: counting })
  await eventually(() => lane.reserve(), 'nothing waits')
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
    rate: UNLIMITED,
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
