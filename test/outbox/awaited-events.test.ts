import { join } from 'node:path'
import t from 'tap'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { DUE_CALLS, FORGET_COME } from '../../src/outbox/sqlite/reconciliation.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { scratch } from '../scratch.ts'
import { newEvent } from './samples.ts'

const awaited = (callId: string, lookAt: number, events: readonly string[], createdAt = 1_000) => ({
  callId,
  createdAt,
  deleted: false,
  events: events.map((event) => ({ event, happenedAt: null, lookAt })),
})

t.test('what is awaited of calls is kept until it has come, is replaced, or is too old', async (t) => {
  const path = join(scratch(t), 'relay.db')
  const outbox = await SqliteOutbox.open(path, (error) => t.fail(error.message))
  const source = 'ultravox'
  const due = async (by: number, limit = 9) => (await outbox.dueCalls(source, by, limit)).map(({ callId }) => callId)
  const b = awaited('b', 20, ['call.billed', 'call.ended'], 900)
  await outbox.saveAwaited(source, [awaited('a', 10, ['call.billed']), b])
  await outbox.saveAwaited('another', [awaited('a', 10, ['call.billed'])])
  t.same(await outbox.awaitedOf(source, ['a', 'b', 'c']), [awaited('a', 10, ['call.billed']), b])
  t.same([await due(9), await due(10), await due(20), await due(20, 1)], [[], ['a'], ['b', 'a'], ['b']])

  await outbox.record(newEvent({ source, callId: 'b', event: 'call.ended' }), [])
  await outbox.record(newEvent({ source, callId: 'a', event: 'call.billed' }), [])
  await outbox.forgetAwaited(source, 10, 0)
  t.same(await due(20), ['b'], 'of those that are due')
  await outbox.forgetAwaited(source, 20, 0)
  t.same(await outbox.awaitedOf(source, ['b']), [{ ...b, events: b.events.slice(0, 1) }])
  await outbox.saveAwaited(source, [{ ...b, deleted: true, events: [{ event: 'x', happenedAt: 5, lookAt: 30 }] }])
  t.same(await outbox.dueCalls(source, 30, 9), [{ callId: 'b', createdAt: 900, deleted: true }])
  await outbox.forgetAwaited(source, 0, 900)
  t.same(await due(30), ['b'])
  await outbox.forgetAwaited(source, 0, 901)
  t.same(await due(30), [])
  t.equal((await outbox.dueCalls('another', 30, 9)).length, 1)

  const coverage = { scope: 's', from: 1, fullAt: 2, newest: null }
  t.equal(await outbox.coverage(source), null)
  await outbox.saveCoverage(source, coverage)
  await outbox.saveCoverage(source, { ...coverage, newest: 3 })
  t.same(await outbox.coverage(source), { ...coverage, newest: 3 })
  await outbox.close()

  const database = openDatabase(path)
  for (const sql of [DUE_CALLS, FORGET_COME]) {
    const plan = database.prepare(`explain query plan ${sql}`).all({ source, dueBy: 1, limit: 1 }) as {
      detail: string
    }[]
    t.match(plan[0]!.detail, /SEARCH awaited_events USING (COVERING )?INDEX awaited_events_by_look/, sql)
  }
  database.close()
})
