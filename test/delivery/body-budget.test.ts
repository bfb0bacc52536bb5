import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { BodyBudget } from '../../src/delivery/body-budget.ts'
import { Capacities } from '../../src/delivery/capacity.ts'
import { Lane } from '../../src/delivery/lane.ts'
import { Lanes } from '../../src/delivery/lanes.ts'
import { systemClock } from '../../src/domain/clock.ts'
import type { Delivery } from '../../src/domain/delivery.ts'
import type { Outcome } from '../../src/domain/outcome.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { eventually } from '../eventually.ts'
import { newEvent } from '../outbox/samples.ts'
import { scratch } from '../scratch.ts'

const BUDGET = 100_000
const policy = { initialDelayMs: 1, factor: 1, maxDelayMs: 1, jitter: 0, giveUpAfterMs: null, maxAttempts: null }
const silent = { attempted() {}, superseded() {}, opened() {}, closed() {}, outboxUnavailable() {}, orphaned() {} }

interface Sent {
  readonly target: string
  readonly bytes: number
  readonly end: (outcome: Outcome) => void
}

/** Lanes with a budget of 100,000 bytes in all, whose targets answer when the test says. */
async function lanesWithBudget(t: Test, names: readonly string[]) {
  const outbox = await SqliteOutbox.open(join(scratch(t), 'relay.db'), (error) => t.fail(error.message))
  let claims = 0
  const claim = outbox.claim.bind(outbox)
  outbox.claim = (...args) => {
    claims++
    return claim(...args)
  }
  const budget = new BodyBudget(BUDGET)
  const capacities = new Capacities(undefined, budget)
  const underWay = new Set<Sent>()
  const done: Sent[] = []
  const made = names.map((name) => {
    const target = {
      name,
      send: ({ event }: Delivery) =>
        new Promise<Outcome>((resolve) => {
          const attempt: Sent = {
            target: name,
            bytes: event.body.byteLength,
            end(outcome) {
              underWay.delete(attempt)
              done.push(attempt)
              resolve(outcome)
            },
          }
          underWay.add(attempt)
        }),
      close: async () => {},
    }
    const lane = new Lane({
      target,
      outbox,
      concurrency: 30,
      rateLimit: null,
      capacity: capacities.of(name),
      policy,
      breaker: { failures: 1_000, cooldownMs: 50, maxCooldownMs: 200 },
      ordered: false,
      holdOnDead: false,
      clock: systemClock,
      random: () => 0.5,
      log: silent,
    })
    return [name, { lane, order: 'none', maxDelayMs: 10_000, paused: false }] as const
  })
  const lanes = new Lanes(new Map(made), { outbox, capacities, clock: systemClock, log: silent })
  t.teardown(async () => {
    const stopped = lanes.stop(0)
    for (const { end } of underWay) end({ kind: 'interrupted' })
    await stopped
    await outbox.close()
  })
  return {
    budget,
    lanes,
    underWay,
    done,
    claims: () => claims,
    record: (bytes: number, ...targets: string[]) =>
      lanes.record(newEvent({ body: Buffer.alloc(bytes, 'x'), receivedAt: Date.now() }), targets),
    bytes: () => [...underWay].reduce((sum, one) => sum + one.bytes, 0),
    of: (name: string) => [...underWay].filter(({ target }) => target === name),
    async quiet() {
      for (let turn = 0; turn < 5; turn++) {
        await outbox.targetStates()
        await sleep(5)
      }
    },
  }
}

t.test('what all lanes hold stays within the budget, and everything is delivered', async (t) => {
  const { budget, record, lanes, bytes, underWay, done, quiet, claims } = await lanesWithBudget(t, ['a', 'b', 'c'])
  for (let n = 0; n < 20; n++) await record(9_000, 'a', 'b', 'c')
  await lanes.start()
  let most = 0
  while (done.length < 60) {
    await eventually(() => underWay.size > 0, `something is under way after ${done.length}`)
    most = Math.max(most, bytes())
    const [oldest] = underWay
    oldest!.end({ kind: 'delivered' })
  }
  t.ok(most <= BUDGET, `${most} bytes`)
  t.ok(most > BUDGET / 2, 'it is used')
  await eventually(() => budget.free === BUDGET, 'all of it is free again')
  const before = claims()
  await quiet()
  t.equal(claims(), before, 'no lane goes on claiming')
})

t.test('each lane has one delivery, however large, while others hold the whole budget', async (t) => {
  const { record, lanes, of, underWay, quiet, claims, budget } = await lanesWithBudget(t, ['a', 'b'])
  for (let n = 0; n < 12; n++) await record(10_000, 'a')
  await lanes.start()
  await eventually(() => of('a').length === 10, 'the budget is used up')
  await record(300_000, 'b')
  await record(300_000, 'b')
  await eventually(() => of('b').length === 1, 'one, beyond the budget')
  await quiet()
  const before = claims()
  await quiet()
  t.equal(claims(), before, 'those that wait do not ask again and again')
  t.equal(underWay.size, 11)
  while (underWay.size > 0) {
    for (const { end } of [...underWay]) end({ kind: 'delivered' })
    await quiet()
  }
  await eventually(() => budget.free === BUDGET, 'everything was delivered')
})

t.test('a large body does not wait behind all the small ones of other lanes', async (t) => {
  const { record, lanes, of, done, quiet } = await lanesWithBudget(t, ['small', 'large'])
  for (let n = 0; n < 40; n++) await record(10_000, 'small')
  await lanes.start()
  await eventually(() => of('small').length === 10, 'the budget is used up')
  await record(10_000, 'large')
  await record(60_000, 'large')
  await eventually(() => of('large').length === 1, 'one, beyond the budget')
  await quiet()
  // Another 20 wait for their turn, and take none of what gets free before the large one has its room.
  while (of('large').length < 2 && done.length < 20) {
    of('small')[0]!.end({ kind: 'delivered' })
    await quiet()
  }
  t.ok(done.length < 10, `it has its turn after ${done.length} small ones`)
})

t.test(
  'an event that is sent straight from its record counts, and finds its way through the outbox otherwise',
  async (t) => {
    const { record, lanes, of, underWay, budget, bytes, quiet } = await lanesWithBudget(t, ['a', 'b'])
    await lanes.start()
    for (let n = 0; n < 5; n++) await record(40_000, 'a', 'b')
    await eventually(() => underWay.size >= 2, 'under way')
    await quiet()
    t.ok(bytes() <= BUDGET, `${bytes()} bytes`)
    t.ok(of('a').length >= 1 && of('b').length >= 1)
    while (underWay.size > 0) {
      for (const { end } of [...underWay]) end({ kind: 'delivered' })
      await quiet()
    }
    t.equal(budget.free, BUDGET)
  },
)

t.test('a lane that is paused or stopped gives up what it holds and its place in the queue', async (t) => {
  const { record, lanes, of, underWay, budget, quiet } = await lanesWithBudget(t, ['a', 'b', 'c'])
  for (let n = 0; n < 12; n++) await record(10_000, 'a')
  await lanes.start()
  await eventually(() => of('a').length === 10, 'the budget is used up')
  for (const name of ['b', 'c']) for (let n = 0; n < 2; n++) await record(50_000, name)
  await eventually(() => of('b').length === 1 && of('c').length === 1, 'one each; the others wait')
  await quiet()
  lanes.lane('b')!.setPaused(true)
  lanes.lane('a')!.setPaused(true)
  for (const { end } of [...underWay].filter(({ target }) => target !== 'b')) end({ kind: 'delivered' })
  await eventually(() => of('c').length === 1 && of('a').length === 0, 'c goes on')
  for (const { end } of [...underWay]) end({ kind: 'delivered' })
  await eventually(() => budget.free === BUDGET, 'all is free')
})
