import type { IncomingMessage, ServerResponse } from 'node:http'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Capacities } from '../../src/delivery/capacity.ts'
import { Lane, type LaneOptions } from '../../src/delivery/lane.ts'
import { Lanes } from '../../src/delivery/lanes.ts'
import { Secret } from '../../src/domain/secret.ts'
import { SqliteOperator } from '../../src/outbox/sqlite/sqlite-operator.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { createHttpTarget, type HttpTargetOptions } from '../../src/targets/http.ts'
import { eventually } from '../eventually.ts'
import { httpServer } from '../local-server.ts'
import { newEvent, to } from '../outbox/samples.ts'
import { scratch } from '../scratch.ts'

const POLICY = {
  initialDelayMs: 1_000,
  factor: 2,
  maxDelayMs: 60_000,
  jitter: 0,
  giveUpAfterMs: null,
  maxAttempts: null,
}
const MINUTE = 60_000

type Answer = (response: ServerResponse, request: IncomingMessage) => void

const status = (code: number, headers: Record<string, string> = {}): Answer => {
  return (response) => response.writeHead(code, headers).end()
}

/** A real outbox and HTTP server with a lane between them, by a clock that stands until the test moves it. */
async function setUp(
  t: Test,
  options: Partial<LaneOptions> = {},
  target: Partial<HttpTargetOptions> = {},
  path = join(scratch(t), 'relay.db'),
) {
  const outbox = await SqliteOutbox.open(path, (error) => t.fail(error.message))
  const operator = SqliteOperator.open(path)
  const time = { now: Date.now() }
  const clock = { now: () => time.now }
  const server: { answer: Answer; requests: number } = { answer: status(204), requests: 0 }
  const { origin } = await httpServer(t, (response, request) => {
    server.requests += 1
    server.answer(response, request as unknown as IncomingMessage)
  })
  const circuit: string[] = []
  const capacities = new Capacities()
  const laneTo = (more: Partial<LaneOptions> = {}) =>
    new Lane({
      target: createHttpTarget(
        {
          name: 'crm',
          url: new Secret(origin),
          method: 'POST',
          headers: {},
          timeoutMs: 5_000,
          sign: null,
          concurrency: 4,
          retryOn: [],
          ...target,
        },
        clock,
      ),
      outbox,
      concurrency: 4,
      rateLimit: null,
      capacity: capacities.of('crm'),
      policy: POLICY,
      breaker: { failures: 3, cooldownMs: MINUTE, maxCooldownMs: 10 * MINUTE },
      ordered: false,
      holdOnDead: false,
      clock,
      random: () => 0.5,
      log: {
        attempted() {},
        superseded() {},
        outboxUnavailable: (_, error) => t.fail(error.message),
        opened: () => circuit.push('opened'),
        closed: () => circuit.push('closed'),
      },
      ...options,
      ...more,
    })
  const lane = laneTo()
  const record = async (count: number) => {
    for (let n = 0; n < count; n++) await outbox.record(newEvent({ receivedAt: time.now }), to('crm'))
  }
  const close = async () => {
    await lane.stop(0)
    await operator.close()
    await outbox.close()
  }
  t.teardown(close)
  /** Waits until the server has had `count` requests in all and all of them are on record. */
  const settled = async (count: number) => {
    let recorded = 0
    await eventually(async () => {
      const page = await outbox.attemptsBefore(null, 0, 1_000)
      recorded = page.attempts.length
      return recorded >= count
    }, `attempt ${count} on record`)
    // The lane has nothing left to do: it would have sent or claimed before its next call is answered.
    for (let n = 0; n < 5; n++) await outbox.targetStates()
    t.equal(recorded, count, 'attempts on record')
    t.equal(server.requests, count, 'requests')
  }
  const after = (ms: number) => {
    time.now += ms
    lane.wake()
  }
  const states = async () => (await operator.listDeliveries({ target: 'crm' }, 100)).map(({ state }) => state)
  return {
    outbox,
    operator,
    time,
    server,
    circuit,
    lane,
    laneTo,
    capacities,
    clock,
    record,
    settled,
    after,
    states,
    close,
  }
}

t.test('429 holds the whole lane, uses no attempt and opens no circuit; then one goes first', async (t) => {
  const policy = { ...POLICY, maxAttempts: 1 }
  const { outbox, operator, server, circuit, lane, record, settled, after, states, time } = await setUp(t, { policy })
  server.answer = status(429, { 'retry-after': '30' })
  await record(20)
  lane.setPaused(false)
  await settled(4)
  const [state] = await outbox.targetStates()
  t.same(state?.throttle, { until: time.now + 30_000, inARow: 1 }, 'four at once are one in a row')
  t.same((await operator.listTargets(time.now))[0]?.throttle, state?.throttle)
  after(29_999)
  await settled(4)
  after(1)
  await settled(5)
  t.same((await outbox.targetStates())[0]?.throttle, { until: time.now + 30_000, inARow: 2 })
  t.same(new Set(await states()), new Set(['pending']), 'maxAttempts is 1')
  server.answer = status(204)
  after(30_000)
  await eventually(async () => (await states()).every((each) => each === 'delivered'), 'all are delivered')
  t.same(circuit, [])
  t.equal((await outbox.targetStates())[0]?.throttle, null)
  t.equal(server.requests, 25)
})

t.test('without a hint, each 429 in a row holds the lane for longer, at most maxDelay', async (t) => {
  const { outbox, server, lane, record, settled, after, time } = await setUp(t, { concurrency: 1 })
  server.answer = status(429)
  await record(3)
  lane.setPaused(false)
  const waits: number[] = []
  for (let n = 1; n <= 8; n++) {
    await settled(n)
    const wait = (await outbox.targetStates())[0]!.throttle!.until - time.now
    waits.push(wait)
    after(wait)
  }
  t.same(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000])
})

t.test('Retry-After of a failed answer holds the lane as well, and the longest of several counts', async (t) => {
  const { server, lane, record, settled, after } = await setUp(t, {
    breaker: { failures: 9, cooldownMs: 1, maxCooldownMs: 1 },
  })
  const waits = ['5', '40', '9999', '1']
  server.answer = (response) => response.writeHead(503, { 'retry-after': waits.shift() ?? '1' }).end()
  await record(9)
  lane.setPaused(false)
  await settled(4)
  after(MINUTE - 1)
  await settled(4)
  after(1)
  await settled(5)
})

t.test(
  'a throttle survives a restart, for at most maxDelay, and ends where a reload changes the destination',
  async (t) => {
    const path = join(scratch(t), 'relay.db')
    const first = await setUp(t, {}, {}, path)
    await first.outbox.saveThrottle('crm', { until: first.time.now + 1_000 * MINUTE, inARow: 4 }, first.time.now)
    await first.record(3)
    await first.close()
    const { outbox, server, capacities, clock, lane, laneTo, settled, after, time } = await setUp(
      t,
      { destination: 'a' },
      {},
      path,
    )
    const configured = { order: 'none', paused: false, maxDelayMs: MINUTE } as const
    const log = { orphaned() {}, outboxUnavailable() {} }
    const lanes = new Lanes(new Map([['crm', { lane, ...configured }]]), { outbox, capacities, clock, log })
    t.teardown(() => lanes.stop(0))
    await lanes.start()
    await settled(0)
    time.now += MINUTE - 1
    await lanes.refresh()
    await settled(0)
    const same = laneTo({ destination: 'a' })
    const putInPlace = await lanes.prepare(new Map([['crm', { lane: same, ...configured }]]), time.now)
    putInPlace()
    await lanes.refresh()
    await settled(0)
    const moved = await lanes.prepare(
      new Map([['crm', { lane: laneTo({ destination: 'b' }), ...configured }]]),
      time.now,
    )
    moved()
    await settled(3)
    t.equal((await outbox.targetStates())[0]?.throttle, null)
    t.equal(server.requests, 3)
    after(0)
  },
)

t.test('while the circuit is open no answer ends a delivery, and only a 2xx closes it', async (t) => {
  const template = { n: '{{ $number(call.summary) }}' }
  const { operator, server, circuit, lane, record, settled, after, states, outbox, time } = await setUp(
    t,
    { concurrency: 1, policy: { ...POLICY, maxAttempts: 4 } },
    { body: template },
  )
  const call = (summary: string) =>
    Buffer.from(JSON.stringify({ event: 'call.ended', call: { callId: summary, summary } }))
  for (const n of ['1', '2', '3', '4'])
    await outbox.record(newEvent({ receivedAt: time.now, body: call(n) }), to('crm'))
  server.answer = status(503)
  lane.setPaused(false)
  await settled(3)
  t.same(circuit, ['opened'])
  const probeAt = async () => (await outbox.targetStates())[0]?.breaker?.probeAt
  for (const [n, code] of [400, 404, 429, 410].entries()) {
    server.answer = status(code)
    after(MINUTE)
    await settled(4 + n)
    t.equal(await probeAt(), time.now + MINUTE, `${code} keeps it open for the same cooldown`)
  }
  t.same(new Set(await states()), new Set(['pending']))
  // Not a probe of the target: the next delivery probes at once.
  await outbox.record(newEvent({ receivedAt: time.now, body: call('none') }), to('crm'))
  server.answer = status(204)
  time.now += MINUTE
  lane.wake()
  await eventually(async () => (await states()).filter((state) => state === 'delivered').length === 4, 'four delivered')
  t.same(circuit, ['opened', 'closed'])
  const [dead] = await operator.listDeliveries({ target: 'crm', states: ['dead'] }, 1)
  t.match(dead?.lastError, /^template: /)
  server.answer = status(400)
  await record(1)
  lane.wake()
  await eventually(
    async () => (await states()).filter((state) => state === 'dead').length === 2,
    'with a closed circuit',
  )
})

t.test('retry.timeouts ends a delivery whose attempts time out, and counts nothing else', async (t) => {
  const breaker = { failures: 99, cooldownMs: 1, maxCooldownMs: 1 }
  const policy = { ...POLICY, timeouts: 2 }
  const { operator, server, lane, record, settled, after, time } = await setUp(
    t,
    { policy, breaker },
    { timeoutMs: 150 },
  )
  const hang: Answer = () => {}
  await record(1)
  const [delivery] = await operator.findDeliveries({ target: 'crm' })
  const { deliveryId } = delivery!
  lane.setPaused(true)
  const answers = [hang, status(500), hang]
  for (const [n, answer] of answers.entries()) {
    server.answer = answer
    lane.setPaused(false)
    after(MINUTE)
    await settled(n + 1)
    lane.setPaused(true)
  }
  const error = /^timeout: no complete answer within 0\.15s; gave up: 2 attempts have timed out \(retry\.timeouts: 2\)$/
  t.match(await operator.showDelivery(deliveryId), { state: 'dead', lastError: error })
  await operator.retryDeliveries({ deliveryIds: [deliveryId] }, time.now)
  server.answer = hang
  lane.setPaused(false)
  after(MINUTE)
  await settled(4)
  t.match(await operator.showDelivery(deliveryId), { state: 'pending' }, 'a retry has a fresh budget')
})
