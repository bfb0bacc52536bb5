import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Rejection } from '../../src/outbox/outbox.ts'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { SqliteOperator } from '../../src/outbox/sqlite/sqlite-operator.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { REFUSALS, SOURCE_EVENTS } from '../../src/outbox/sqlite/status.ts'
import { LAST_ATTEMPT, LAST_ERROR, TARGET_COUNTS } from '../../src/outbox/sqlite/target-summaries.ts'
import { scratch } from '../scratch.ts'
import { attemptAt, newEvent, to } from './samples.ts'

const HOUR = 3_600_000
const NOW = 10 * HOUR

async function open(t: Test) {
  const path = join(scratch(t), 'relay.db')
  const outbox = await SqliteOutbox.open(path, (error) => t.fail(error.message))
  const operator = SqliteOperator.open(path)
  t.teardown(() => Promise.all([outbox.close(), operator.close()]))
  return { path, outbox, operator }
}

t.test('of each source: its last event, and what came and was refused in the last hour', async (t) => {
  const { outbox, operator } = await open(t)
  t.match(await operator.status(NOW), { sources: [], targets: [], events: 0 })
  for (const receivedAt of [1_000, NOW - HOUR + 1, NOW - 5]) await outbox.record(newEvent({ receivedAt }), [])
  await outbox.record(newEvent({ source: 'quiet', receivedAt: 2_000 }), [])
  const refuse = (source: string, reason: Rejection['reason'], receivedAt: number) =>
    outbox.reject({
      source,
      reason,
      receivedAt,
      requestId: 'req_1',
      peer: '::1',
      bytes: null,
      headers: '{}',
      kept: null,
    })
  await refuse('ultravox', 'timestamp_stale', NOW - 3)
  for (const age of [1, 2, HOUR]) await refuse('ultravox', 'signature_mismatch', NOW - age)
  await refuse('gone', 'signature_missing', NOW - 1)
  const { sources, events } = await operator.status(NOW)
  t.same(sources, [
    {
      source: 'gone',
      lastEventAt: null,
      eventsLastHour: 0,
      refusedLastHour: [{ reason: 'signature_missing', count: 1 }],
    },
    { source: 'quiet', lastEventAt: 2_000, eventsLastHour: 0, refusedLastHour: [] },
    {
      source: 'ultravox',
      lastEventAt: NOW - 5,
      eventsLastHour: 2,
      refusedLastHour: [
        { reason: 'signature_mismatch', count: 2 },
        { reason: 'timestamp_stale', count: 1 },
      ],
    },
  ])
  t.equal(events, 4)
})

t.test('of each target: what waits, how fast it goes, and the newest error that still matters', async (t) => {
  const { outbox, operator } = await open(t)
  const attempt = async (outcome: 'delivered' | 'failed' | 'refused', startedAt: number, error?: string) => {
    await outbox.record(newEvent({ receivedAt: startedAt }), to('crm'))
    const { deliveries } = await outbox.claim('crm', 1, startedAt)
    const settlement = {
      delivered: { state: 'delivered' },
      failed: { state: 'pending', dueAt: NOW + 1 },
      refused: { state: 'dead' },
    } as const
    const made = attemptAt(deliveries[0]!, outcome, startedAt)
    await outbox.settle(deliveries[0]!, error === undefined ? made : { ...made, error }, settlement[outcome])
  }
  const crm = async () => (await operator.status(NOW)).targets.find(({ target }) => target === 'crm')
  for (const age of [400, 290, 60]) await attempt('delivered', NOW - age * 1_000)
  t.same(await crm(), {
    target: 'crm',
    paused: false,
    breaker: null,
    throttle: null,
    pending: 0,
    due: 0,
    backoff: 0,
    waiting: 0,
    held: 0,
    heldCalls: 0,
    retrying: 0,
    dead: 0,
    oldestDueAt: null,
    oldestHeldAt: null,
    deliveredPerMinute: 0.4,
    timedOut: 0,
    lastError: null,
    lastProbe: null,
  })
  await attempt('failed', NOW - 50_000, 'first')
  await attempt('refused', NOW - 40_000, 'second')
  t.match(await crm(), { pending: 1, due: 0, backoff: 1, dead: 1, lastError: { error: 'second', at: NOW - 39_995 } })
  await attempt('failed', NOW - 30_000, 'third')
  await outbox.record(newEvent({ receivedAt: NOW - 10 }), to('crm'))
  t.match(await crm(), { pending: 3, due: 1, retrying: 2, oldestDueAt: NOW - 10, lastError: { error: 'third' } })
  t.same((await operator.listTargets(NOW))[0], await crm())
})

t.test('what was delivered and is sent once more is not retrying', async (t) => {
  const { outbox, operator } = await open(t)
  await outbox.record(newEvent(), to('crm'))
  const [delivery] = (await outbox.claim('crm', 1, 1_000)).deliveries
  await outbox.settle(delivery!, attemptAt(delivery!, 'delivered'), { state: 'delivered' })
  await operator.retryDeliveries({ deliveryIds: [delivery!.deliveryId] }, NOW)
  t.match(await operator.listTargets(NOW), [{ pending: 1, due: 1, retrying: 0, lastError: null }])
})

t.test('the storage tells its size and what is left', async (t) => {
  const { outbox, operator } = await open(t)
  await outbox.record(newEvent(), to('crm'))
  const { storage } = await operator.status(NOW)
  t.ok(storage.bytes > 0 && storage.walBytes > 0 && storage.freeBytes > 0, JSON.stringify(storage))
})

t.test('a look at the status reads no history: indexes alone, and what is unfinished', async (t) => {
  const { path } = await open(t)
  const database = openDatabase(path, { readonly: true })
  t.teardown(() => database.close())
  const parameters = { now: 1, since: 1, target: 'x', deliveryId: 1 }
  for (const query of [SOURCE_EVENTS, REFUSALS, TARGET_COUNTS, LAST_ERROR, LAST_ATTEMPT]) {
    const used = Object.entries(parameters).filter(([name]) => query.includes(`@${name}`))
    const plan = database
      .prepare(`explain query plan ${query}`)
      .all(Object.fromEntries(used))
      .map((row) => (row as { detail: string }).detail)
    const scans = plan.filter((step) => step.startsWith('SCAN '))
    const small =
      /^SCAN (names|n|h|held_calls|live_deliveries( USING .*)?|\(subquery-\d\)|finished_deliveries USING COVERING INDEX \S+_dead)$/
    t.same(
      scans.filter((step) => !small.test(step)),
      [],
      query,
    )
    // What is held is unfinished, and of what is dead only that is read which holds it.
    const few = /^SEARCH (d .*live_deliveries_by_call|f USING INTEGER PRIMARY KEY)/
    const bounded: readonly string[] = [LAST_ERROR, LAST_ATTEMPT]
    const searches = plan.filter((step) => step.startsWith('SEARCH ') && !few.test(step) && !bounded.includes(query))
    t.same(
      searches.filter((step) => !step.includes('COVERING INDEX')),
      [],
      query,
    )
  }
})
