import { join } from 'node:path'
import type Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import type { Config } from '../../src/config/config.ts'
import { waitsFor } from '../../src/documents/waits.ts'
import type { Delivery } from '../../src/domain/delivery.ts'
import { INTERRUPTED_TOO_OFTEN } from '../../src/domain/interrupted-starts.ts'
import type { CountedOutcome } from '../../src/domain/outcome.ts'
import { settle } from '../../src/domain/settlement.ts'
import type { Claim, Outbox, Recorded } from '../../src/outbox/outbox.ts'
import { type Call, createBatchRunner } from '../../src/outbox/sqlite/batch.ts'
import { createCallOrder } from '../../src/outbox/sqlite/call-order.ts'
import { openOutboxFile } from '../../src/outbox/sqlite/database.ts'
import { createQueuePlaces } from '../../src/outbox/sqlite/queue-places.ts'
import { createRedelivery } from '../../src/outbox/sqlite/redelivery.ts'
import { StartRecord } from '../../src/outbox/sqlite/start-record.ts'
import { createStore } from '../../src/outbox/sqlite/store.ts'
import { withStartLimit } from '../../src/targets/interrupted-starts.ts'
import { scratch } from '../scratch.ts'
import { newEvent } from './samples.ts'

const POLICY = { maxAttempts: 3, giveUpAfterMs: null, initialDelayMs: 100, maxDelayMs: 100, factor: 1, jitter: 0 }

/** One run of a relay on the database, as its outbox's thread sees it. Nothing ends it but `end`: left alone, it has crashed. */
class Run {
  readonly #starts: StartRecord
  readonly #run: (calls: readonly Call[]) => ReturnType<ReturnType<typeof createBatchRunner>>

  constructor(database: Database.Database, endedUnexpectedly: boolean) {
    this.#starts = new StartRecord(database, endedUnexpectedly)
    this.#run = createBatchRunner(database, createStore(database), undefined, undefined, this.#starts)
  }

  claim(target: string, limit: number, now: number): Claim {
    return this.#ask({ method: 'claim', args: [target, limit, now] }) as Claim
  }

  record(...args: Parameters<Outbox['record']>): Recorded {
    return this.#ask({ method: 'record', args }) as Recorded
  }

  release(delivery: Delivery): void {
    this.#ask({ method: 'release', args: [delivery] })
  }

  settle(delivery: Delivery, startedAt: number, endedAt: number, outcome: CountedOutcome): string {
    const { attempt, settlement } = settle(delivery, { startedAt, endedAt, outcome }, POLICY, () => 0)
    this.#ask({ method: 'settle', args: [delivery, attempt, settlement] })
    return settlement.state
  }

  end(): void {
    this.#starts.end()
  }

  #ask(call: Call): unknown {
    const [reply] = this.#run([call])
    if (reply === undefined || !('value' in reply)) throw new Error(JSON.stringify(reply))
    return reply.value
  }
}

function opened(t: Test): Database.Database {
  const file = openOutboxFile(join(scratch(t), 'relay.db'))
  t.teardown(() => file.close())
  return file.database
}

const startsIn = (database: Database.Database) =>
  database.prepare('select starts from live_deliveries order by delivery_id').pluck().all()

interface Trial {
  readonly targets: number
  readonly killer: number
  /** After which time the killer's attempt ends the relay, and others' end, in milliseconds. */
  readonly killsAfter: number
  readonly takes: number
  /** Deliveries claimed ahead of a free slot. */
  readonly ahead: number
}

const CONCURRENCY = 8

/** Runs relays on the database until all is finished; each ends when the killer's attempt does. Returns what became of each delivery. */
async function survive(database: Database.Database, { targets, killer, killsAfter, takes, ahead }: Trial) {
  const names = Array.from({ length: targets }, (_, index) => `t${index}`)
  const ended = new Map<string, string>()
  let now = 1_000
  let crashes = 0
  let run = new Run(database, false)
  for (let number = 0; number < 21; number++) {
    const target = number === killer ? names[0]! : names[number % targets]!
    run.record(newEvent({ eventId: `e${number}`, callId: `c${number}`, receivedAt: now }), [{ target, ordered: false }])
  }
  const limited = withStartLimit({
    name: 'any',
    send: async () => ({ kind: 'delivered' }),
    close: async () => {},
  })
  while (ended.size < 21) {
    const held: Delivery[] = []
    let sending: { delivery: Delivery; startedAt: number; endsAt: number }[] = []
    for (let crashed = false; !crashed && ended.size < 21; ) {
      let next = Number.POSITIVE_INFINITY
      for (const target of names) {
        const ofTarget = (each: { delivery: Delivery }) => each.delivery.target === target
        const waiting = held.filter((delivery) => delivery.target === target)
        const free = CONCURRENCY - sending.filter(ofTarget).length
        const limit = free + ahead - waiting.length
        if (limit > 0) {
          const { deliveries, nextDueAt } = run.claim(target, limit, now)
          held.push(...deliveries)
          if (nextDueAt !== null && nextDueAt > now) next = Math.min(next, nextDueAt)
        }
        for (let slots = free; slots > 0; slots--) {
          const index = held.findIndex((delivery) => delivery.target === target)
          if (index < 0) break
          const [delivery] = held.splice(index, 1)
          const isKiller = delivery!.event.eventId === `e${killer}`
          const outcome = await limited.send(delivery!, new AbortController().signal)
          const time = outcome.kind === 'refused' ? 0 : isKiller ? killsAfter : takes
          sending.push({ delivery: delivery!, startedAt: now, endsAt: now + time })
        }
      }
      now = Math.max(now, Math.min(next, ...sending.map(({ endsAt }) => endsAt)))
      const over = sending.filter(({ endsAt }) => endsAt <= now)
      sending = sending.filter(({ endsAt }) => endsAt > now)
      for (const { delivery, startedAt } of over) {
        const outcome = await limited.send(delivery, new AbortController().signal)
        if (outcome.kind === 'delivered' && delivery.event.eventId === `e${killer}`) {
          crashed = true
          break
        }
        ended.set(delivery.event.eventId, run.settle(delivery, startedAt, now, outcome as CountedOutcome))
      }
      if (crashes > 50) throw new Error('it never ends')
    }
    if (ended.size === 21) break
    crashes++
    now += 10
    run = new Run(database, true)
  }
  return { ended, crashes, at: now }
}

for (const trial of [
  { targets: 1, killer: 0, killsAfter: 5, takes: 20, ahead: 0 },
  { targets: 1, killer: 0, killsAfter: 5, takes: 20, ahead: 16 },
  { targets: 1, killer: 7, killsAfter: 5, takes: 20, ahead: 16 },
  { targets: 1, killer: 20, killsAfter: 5, takes: 1, ahead: 16 },
  { targets: 3, killer: 3, killsAfter: 0, takes: 20, ahead: 16 },
  { targets: 1, killer: 4, killsAfter: 3_000, takes: 30_000, ahead: 0 },
  { targets: 3, killer: 9, killsAfter: 900, takes: 30_000, ahead: 16 },
]) {
  t.test(
    `a delivery that ends the relay ends dead, and twenty beside it get through: ${JSON.stringify(trial)}`,
    async (t) => {
      const database = opened(t)
      const { ended, crashes } = await survive(database, trial)
      const dead = [...ended].filter(([, state]) => state !== 'delivered')
      t.same(dead, [[`e${trial.killer}`, 'dead']])
      t.equal(crashes, 6, 'the first is not recorded, and five in a row are')
      const attempts = database
        .prepare("select attempt, outcome, error from attempts where outcome != 'delivered'")
        .all()
      t.match(attempts, [{ attempt: 1, outcome: 'refused', error: INTERRUPTED_TOO_OFTEN }])
      t.same(startsIn(database), [])
    },
  )
}

t.test('the first unexpected end delays nothing, and without one nothing is marked', async (t) => {
  const database = opened(t)
  const first = new Run(database, false)
  for (let number = 0; number < 30; number++) {
    const event = newEvent({ eventId: `e${number}`, callId: `c${number}`, receivedAt: 1_000 })
    first.record(event, [{ target: 'crm', ordered: false, lease: number < 3 }])
  }
  t.equal(first.claim('crm', 20, 1_000).deliveries.length, 20)
  t.same(new Set(startsIn(database) as number[]), new Set([0]))
  const second = new Run(database, true)
  const { deliveries } = second.claim('crm', 30, 1_001)
  t.equal(deliveries.length, 30)
  t.same(new Set(startsIn(database) as number[]), new Set([1]))
  t.ok(deliveries.every(({ starts }) => starts === undefined))
})

t.test(
  'after an unexpected end a start is on disk before a lane gets the delivery, until it is settled or released',
  async (t) => {
    const database = opened(t)
    const run = new Run(database, true)
    const record = (number: number, lease: boolean) =>
      run.record(newEvent({ eventId: `e${number}`, callId: `c${number}`, receivedAt: 1_000 }), [
        { target: 'crm', ordered: false, lease },
      ])
    const { leased } = record(0, true)
    for (const number of [1, 2, 3]) record(number, false)
    const { deliveries } = run.claim('crm', 3, 1_000)
    t.same(startsIn(database), [1, 1, 1, 1])
    run.settle(leased[0]!, 1_000, 1_010, { kind: 'failed', error: 'http 503' })
    run.release(deliveries[0]!)
    t.same(startsIn(database), [0, 0, 1, 1], 'a failed attempt is not an interrupted one')
    run.settle(deliveries[1]!, 1_000, 1_010, { kind: 'delivered' })
    t.same(startsIn(database), [0, 0, 1])
    run.end()
    t.same(startsIn(database), [0, 0, 0], 'what a lane has given up counts no start at a graceful end')
  },
)

t.test('a delivery that has to wait for an attempt of its call is not marked', async (t) => {
  const database = opened(t)
  const run = new Run(database, true)
  const record = (eventId: string) =>
    run.record(newEvent({ eventId, event: eventId, callId: 'one' }), [{ target: 'crm', ordered: true, lease: true }])
  const [first] = record('a').leased
  createRedelivery(database, createCallOrder(database)).cancel(first!.deliveryId, 2_000)
  t.same(record('b').leased, [])
  t.same(startsIn(database), [0])
})

t.test('a suspect that was not sent keeps its count, and a retry clears it', async (t) => {
  const database = opened(t)
  let run = new Run(database, true)
  run.record(newEvent({ receivedAt: 1_000 }), [{ target: 'crm', ordered: false }])
  for (const expected of [1, 2]) {
    const [delivery] = run.claim('crm', 1, 10_000).deliveries
    t.equal(delivery?.starts ?? 0, expected - 1)
    t.same(startsIn(database), [expected])
    run = new Run(database, true)
    t.same(run.claim('crm', 1, 9_000).deliveries, [], 'it waits')
  }
  const [delivery] = run.claim('crm', 1, 14_000).deliveries
  t.match(delivery, { starts: 2 })
  run.release(delivery!)
  t.same(startsIn(database), [2])
  run.end()
  const graceful = new Run(database, false)
  t.same(
    graceful.claim('crm', 1, 20_000),
    { deliveries: [], nextDueAt: 25_000 },
    'suspects remain after a graceful end',
  )
  createRedelivery(database, createCallOrder(database)).retry(delivery!.deliveryId, 20_000)
  t.equal(graceful.claim('crm', 1, 20_001).deliveries.length, 1)
})

t.test('starts are recorded for an hour', async (t) => {
  const database = opened(t)
  const run = new Run(database, true)
  for (const callId of ['a', 'b'])
    run.record(newEvent({ callId, eventId: callId }), [{ target: 'crm', ordered: false }])
  run.claim('crm', 1, 1_000)
  t.same(startsIn(database), [1, 0])
  run.claim('crm', 1, 1_000 + 3_600_000)
  t.same(startsIn(database), [1, 0])
})

t.test('the fifth interrupted start counts only while no other suspect is under way', async (t) => {
  const database = opened(t)
  const before = new Run(database, true)
  for (const target of ['a', 'b', 'c']) {
    before.record(newEvent({ callId: target, eventId: target }), [{ target, ordered: false }])
    before.claim(target, 1, 1_000)
  }
  database.prepare("update live_deliveries set starts = 4 where target in ('a', 'b')").run()
  const run = new Run(database, true)
  const start = 10_000
  t.equal(run.claim('a', 1, start).deliveries.length, 0)
  t.equal(run.claim('a', 1, start + 60_000).deliveries.length, 1)
  t.same(startsIn(database), [5, 4, 1])
  const [waits, nextDueAt] = [start + 119_990, start + 120_040]
  for (const target of ['b', 'c']) t.same(run.claim(target, 1, waits), { deliveries: [], nextDueAt })
  const [hanging] = run.claim('c', 1, start + 120_000).deliveries
  t.ok(hanging)
  t.same(startsIn(database), [4, 4, 2], 'what hangs is not given up for an end that another may have caused')
  t.equal(run.claim('b', 1, start + 180_000).deliveries.length, 1)
  t.same(startsIn(database), [4, 4, 2])
  run.settle(hanging!, start + 120_000, start + 190_000, { kind: 'delivered' })
  run.end()
  t.same(startsIn(database), [4, 4])
})

t.test('a suspect that hangs does not keep those of other targets waiting', async (t) => {
  const database = opened(t)
  const before = new Run(database, true)
  for (const target of ['slow', 'fast']) {
    for (const number of [0, 1]) {
      const event = newEvent({ eventId: `${target}${number}`, callId: `${target}${number}`, receivedAt: 1_000 })
      before.record(event, [{ target, ordered: false }])
    }
    before.claim(target, 2, 1_000)
  }
  const run = new Run(database, true)
  run.claim('slow', 2, 2_000)
  t.equal(run.claim('slow', 2, 3_000).deliveries.length, 1)
  t.same(run.claim('fast', 2, 3_500), { deliveries: [], nextDueAt: 3_550 })
  t.equal(run.claim('fast', 2, 4_000).deliveries.length, 1)
})

t.test('a delivery that waits for its turn says so, as do those behind it in their call', async (t) => {
  const database = opened(t)
  const places = createQueuePlaces(database)
  const waits = (deliveryId: number) => {
    const targets = { crm: { paused: false, rateLimit: null } }
    const delivery = { target: 'crm', dueAt: 1_000, lastError: null, place: places.of(deliveryId) }
    return waitsFor(delivery, { targets } as unknown as Config, 2_000)
  }
  let run = new Run(database, true)
  for (const eventId of ['a', 'b']) {
    const event = newEvent({ eventId, event: eventId, callId: 'one', receivedAt: 1_000 })
    run.record(event, [{ target: 'crm', ordered: true }])
  }
  run.claim('crm', 1, 1_000)
  t.equal(waits(1), null, 'one start may be the attempt under way')
  run = new Run(database, true)
  run.claim('crm', 1, 2_000)
  run.claim('crm', 1, 3_000)
  t.same(startsIn(database), [2, 0])
  t.same(waits(1), { reason: 'interrupted' })
  t.match(waits(2), { reason: 'order', deliveryId: 1, waitsFor: { reason: 'interrupted' } })
})
