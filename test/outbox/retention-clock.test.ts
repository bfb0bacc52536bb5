import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { ClockReading } from '../../src/domain/clock-trust.ts'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { SqliteOperator } from '../../src/outbox/sqlite/sqlite-operator.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { scratch } from '../scratch.ts'
import { POLICY } from './retention-contract.ts'
import { attemptAt, newEvent, to } from './samples.ts'

const DAY = 86_400_000
const START = Date.UTC(2026, 0, 15)
const LONGEST_AGE = Math.max(POLICY.deliveredMs, POLICY.deadMs, POLICY.rejectionsMs, POLICY.keysMs)

/** An outbox with an event and a rejection that were received at `START`, by the clock of then. */
async function recorded(t: Test) {
  const path = join(scratch(t), 'relay.db')
  const outbox = await SqliteOutbox.open(path, (error) => t.fail(error.message))
  const operator = SqliteOperator.open(path)
  t.teardown(() => Promise.all([outbox.close(), operator.close()]))
  await outbox.record(newEvent({ receivedAt: START, body: Buffer.alloc(100_000) }), [])
  await outbox.reject({
    source: 'ultravox',
    receivedAt: START,
    reason: 'timestamp_stale',
    requestId: 'r',
    peer: 'p',
    bytes: 2,
    headers: '{}',
    kept: null,
  })
  const counts = () => {
    const database = openDatabase(path, { readonly: true })
    const count = (table: string) => database.prepare(`select count(*) from ${table}`).pluck().get()
    const found = { events: count('events'), bodies: count('event_bodies'), rejections: count('rejections') }
    database.close()
    return found
  }
  /** By the wall clock; time since the boot is told apart. */
  async function pruneAll(now: number, policy = POLICY): Promise<void> {
    while ((await outbox.prune(policy, now)).more);
  }
  return { outbox, operator, counts, pruneAll }
}

const reading = (wallMs: number, uptimeMs: number): ClockReading => ({ wallMs, uptimeMs, bootId: 'a boot' })
const ALL = { events: 1, bodies: 1, rejections: 1 }

t.test('nothing goes for its age while the clock is not believed, but what is too large still does', async (t) => {
  const { outbox, counts, pruneAll } = await recorded(t)
  await outbox.observeClock(reading(START, 0))
  const ahead = START + LONGEST_AGE + DAY
  t.match(await outbox.observeClock(reading(ahead, 1_000)), { hold: { offMs: LONGEST_AGE + DAY - 1_000 } })
  await pruneAll(ahead)
  t.same(counts(), ALL)
  await pruneAll(ahead, { ...POLICY, maxSizeBytes: 1 })
  t.same(counts(), { ...ALL, bodies: 0 })
  t.match(await outbox.observeClock(reading(START, 2_000)), { hold: null })
})

t.test('what a clock that was behind has stamped is kept as long as all else', async (t) => {
  const { outbox, operator, counts, pruneAll } = await recorded(t)
  const behindBy = LONGEST_AGE + DAY
  await outbox.observeClock(reading(START, 0))
  const right = START + behindBy
  await outbox.observeClock(reading(right, 1))
  await operator.confirmClock(reading(right, 1))
  await pruneAll(right)
  t.same(counts(), ALL)
  await pruneAll(right + Math.max(POLICY.deliveredMs, POLICY.rejectionsMs) + 1)
  t.same(counts(), { events: 1, bodies: 0, rejections: 0 })
  await pruneAll(right + LONGEST_AGE + 1)
  t.same(counts(), { events: 0, bodies: 0, rejections: 0 })
})

t.test('what comes after the clock was set goes by its own age', async (t) => {
  const { outbox, operator, counts, pruneAll } = await recorded(t)
  await outbox.observeClock(reading(START, 0))
  const right = START + 100 * LONGEST_AGE
  await operator.confirmClock(reading(right, 1))
  await outbox.record(newEvent({ receivedAt: right }), [])
  await pruneAll(right + POLICY.deliveredMs + 1)
  t.same(counts(), { events: 2, bodies: 0, rejections: 0 }, 'and the others no longer than that')
})

t.test(
  'what came while the clock was behind for a while is kept as long as all else, older events no longer',
  async (t) => {
    const { outbox, counts, pruneAll } = await recorded(t)
    const now = START + POLICY.deliveredMs + DAY
    await outbox.observeClock(reading(now, 0))
    await outbox.observeClock(reading(START, 1))
    await outbox.record(newEvent({ receivedAt: START }), [])
    t.match(await outbox.observeClock(reading(now, 2)), { hold: null })
    await pruneAll(now)
    t.same(counts(), { events: 2, bodies: 1, rejections: 1 })
  },
)

t.test('a delivery that died while the clock was behind is kept as long as its event is young', async (t) => {
  const { outbox, counts, pruneAll } = await recorded(t)
  const now = START + POLICY.deadMs
  await outbox.observeClock(reading(now, 0))
  await outbox.record(newEvent({ receivedAt: now - POLICY.deliveredMs - DAY }), to('crm'))
  const behind = START - 400 * DAY
  await outbox.observeClock(reading(behind, 1))
  const [delivery] = (await outbox.claim('crm', 1, now)).deliveries
  await outbox.settle(delivery!, attemptAt(delivery!, 'refused', behind), { state: 'dead' })
  await outbox.observeClock(reading(now, 2))
  await pruneAll(now)
  t.match(counts(), { bodies: 1 })
})
