import { join } from 'node:path'
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Lane } from '../../src/delivery/lane.ts'
import { type ConfiguredLane, Lanes } from '../../src/delivery/lanes.ts'
import { Recalls } from '../../src/delivery/recalls.ts'
import type { Delivery } from '../../src/domain/delivery.ts'
import { RelayError } from '../../src/domain/errors.ts'
import type { Outcome } from '../../src/domain/outcome.ts'
import { UNLIMITED } from '../../src/domain/rate-limit.ts'
import { recallClaimed } from '../../src/operations/recall.ts'
import { SqliteOperator } from '../../src/outbox/sqlite/sqlite-operator.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { eventually } from '../eventually.ts'
import { newEvent } from '../outbox/samples.ts'
import { scratch } from '../scratch.ts'

const ALL = () => true
/** By which every attempt is quick, so that lanes claim ahead. */
const standing = { now: () => 50_000 }

type Send = (delivery: Delivery) => Promise<Outcome>

/** Lanes over an outbox of their own that answer recalls as the daemon does, and an operator beside them. */
async function setUp(t: Test, send: Send, concurrency = 1) {
  const path = join(scratch(t), 'relay.db')
  const relay: { lanes?: Lanes; recalls?: Recalls } = {}
  const outbox = await SqliteOutbox.open(path, (error) => t.fail(error.message), {
    onChange: () => void relay.lanes?.refresh(),
    onRecallRequest: (request) => relay.recalls?.request(request),
  })
  const laneLog = { attempted() {}, superseded() {}, opened() {}, closed() {}, outboxUnavailable() {} }
  const configured = (): ReadonlyMap<string, ConfiguredLane> => {
    const lane = new Lane({
      target: { name: 'crm', send, async close() {} },
      outbox,
      concurrency,
      rate: UNLIMITED,
      policy: { initialDelayMs: 10, factor: 2, maxDelayMs: 10, jitter: 0, giveUpAfterMs: null, maxAttempts: null },
      breaker: { failures: 1_000, cooldownMs: 50, maxCooldownMs: 200 },
      ordered: false,
      holdOnDead: false,
      clock: standing,
      random: Math.random,
      log: laneLog,
    })
    return new Map([['crm', { lane, order: 'none', paused: false, maxDelayMs: 10 }]])
  }
  const log = { orphaned() {}, outboxUnavailable() {} }
  const lanes = new Lanes(configured(), { outbox, clock: standing, log })
  const recalls = new Recalls({ lanes, outbox, log })
  Object.assign(relay, { lanes, recalls })
  const operator = SqliteOperator.open(path)
  t.teardown(async () => {
    await operator.close()
    await lanes.stop(0)
    recalls.end()
    await outbox.close()
  })
  await lanes.start()
  const record = () => lanes.record(newEvent(), ['crm'])
  return { path, outbox, lanes, operator, record, configured }
}

/** Attempts that end when the test says. */
function hanging() {
  const sent: number[] = []
  const ends = new Map<number, (outcome: Outcome) => void>()
  const send = ({ deliveryId }: Delivery) =>
    new Promise<Outcome>((resolve) => {
      sent.push(deliveryId)
      ends.set(deliveryId, resolve)
    })
  return { sent, send, end: (deliveryId: number) => ends.get(deliveryId)?.({ kind: 'delivered' }) }
}

t.test('after a confirmed cancel, no delivery is sent but those reported as under way', async (t) => {
  const confirmed = new Set<number>()
  const sentLate: number[] = []
  let sent = 0
  const { operator, record } = await setUp(
    t,
    async ({ deliveryId }) => {
      sent += 1
      if (confirmed.has(deliveryId)) sentLate.push(deliveryId)
      await sleep(100)
      return { kind: 'delivered' }
    },
    2,
  )
  let recorded = 0
  let isOver = false
  // As webhooks arrive: some go to a free slot straight from their commit, the others are claimed.
  const arriving = Promise.all(
    Array.from({ length: 4 }, async () => {
      while (!isOver) {
        await record()
        recorded += 1
        await sleep(10)
      }
    }),
  )
  let cancelled = 0
  for (let round = 0; round < 8; round++) {
    const pending = (await operator.findDeliveries({ states: ['pending'] })).map(({ deliveryId }) => deliveryId)
    cancelled += await operator.cancelDeliveries({ deliveryIds: pending, states: ['pending'] }, standing.now())
    const gone = new Set((await operator.findDeliveries({ states: ['cancelled'] })).map(({ deliveryId }) => deliveryId))
    const underWay: number[] = []
    const answer = await recallClaimed(operator, ({ deliveryId }) => underWay.push(deliveryId) > 0)
    t.not(answer, null, 'the relay answers')
    for (const deliveryId of gone) if (!underWay.includes(deliveryId)) confirmed.add(deliveryId)
  }
  isOver = true
  await arriving
  await eventually(
    async () => (await operator.findDeliveries({ states: ['pending'] })).length === 0,
    'the rest is sent',
  )
  t.ok(cancelled > 0 && sent > 0, `${cancelled} of ${recorded} cancelled, ${sent} sent`)
  t.same(sentLate, [])
})

t.test('what was cancelled by a command that did not live to ask for a recall is not sent either', async (t) => {
  const { sent, send, end } = hanging()
  const { outbox, operator, record } = await setUp(t, send)
  await record()
  await eventually(() => sent.length === 1, 'a quick attempt')
  for (let n = 0; n < 3; n++) await record()
  end(1)
  await eventually(() => sent.length === 2, 'an attempt that hangs')
  const released: number[] = []
  const release = outbox.release.bind(outbox)
  outbox.release = async (delivery) => {
    await release(delivery)
    released.push(delivery.deliveryId)
  }
  t.equal(await operator.cancelDeliveries({ deliveryIds: [3] }, standing.now()), 1)
  await eventually(() => released.includes(3), 'the relay has noticed')
  end(2)
  await eventually(() => sent.length === 3, 'the next')
  end(4)
  t.same(sent, [1, 2, 4])
})

t.test('a recall reports the attempts of lanes that a reload has replaced', async (t) => {
  const { sent, send, end } = hanging()
  const { lanes, operator, record, configured } = await setUp(t, send)
  await record()
  await eventually(() => sent.length === 1, 'the first attempt')
  const use = await lanes.prepare(configured(), standing.now())
  use()
  await record()
  await eventually(() => sent.length === 2, 'the new lane has a slot of its own')
  t.equal(await recallClaimed(operator, ALL), 2)
  end(1)
  await eventually(async () => (await recallClaimed(operator, ALL)) === 1, 'only the second')
  end(2)
})

t.test('once a pause is confirmed nothing is started, and a reload does not lift it for a moment', async (t) => {
  const { sent, send, end } = hanging()
  const { lanes, operator, record, configured } = await setUp(t, send)
  await record()
  await eventually(() => sent.length === 1, 'the first attempt')
  const use = await lanes.prepare(configured(), standing.now())
  await operator.setPaused('crm', true, standing.now())
  t.equal(await recallClaimed(operator, ({ target }) => target === 'crm'), 1)
  for (let n = 0; n < 3; n++) await record()
  // It has read the target's state before the pause.
  use()
  end(1)
  await eventually(async () => (await recallClaimed(operator, ALL)) === 0, 'nothing is under way')
  t.same(sent, [1])
  await operator.setPaused('crm', false, standing.now())
  await recallClaimed(operator, ALL)
  for (const deliveryId of [2, 3, 4]) {
    await eventually(() => sent.includes(deliveryId), `delivery ${deliveryId}`)
    end(deliveryId)
  }
})

t.test('an outbox that fails for a moment delays the answer, and two requests share one', async (t) => {
  let recalled = 0
  const answered: number[] = []
  const failures = [new RelayError('outbox_unavailable', 'outbox: SQLITE_BUSY')]
  const logged: string[] = []
  const recalls = new Recalls({
    lanes: {
      async recall() {
        recalled += 1
        return []
      },
    },
    outbox: {
      async answerRecall(request) {
        const failure = failures.pop()
        if (failure !== undefined) throw failure
        answered.push(request)
      },
    },
    log: { outboxUnavailable: (_, { message }) => logged.push(message) },
    retryMs: 5,
  })
  recalls.request(1)
  recalls.request(2)
  recalls.request(3)
  await eventually(() => answered.includes(3), 'the last')
  t.same(logged, ['outbox: SQLITE_BUSY'])
  t.same(answered, [3], 'the first was under way when the others came')
  t.equal(recalled, 2)
  recalls.end()
  recalls.request(4)
  await turn()
  t.same(answered, [3])
})

t.test('a relay that does not answer is not waited for without end', async (t) => {
  const desk = { requestRecall: async () => 1, recallAnswer: async () => null }
  t.equal(await recallClaimed(desk, ALL, 20), null)
  const full = new RelayError('outbox_unavailable', 'outbox: SQLITE_FULL')
  t.equal(await recallClaimed({ ...desk, requestRecall: () => Promise.reject(full) }, ALL), null, 'nor can be asked')
  const fatal = new RelayError('outbox_failed', 'outbox: SQLITE_CORRUPT')
  await t.rejects(recallClaimed({ ...desk, requestRecall: () => Promise.reject(fatal) }, ALL), fatal)
})
