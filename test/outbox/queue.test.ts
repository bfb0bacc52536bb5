import { join } from 'node:path'
import t from 'tap'
import { SqliteMaintenance } from '../../src/outbox/sqlite/sqlite-maintenance.ts'
import { SqliteOperator } from '../../src/outbox/sqlite/sqlite-operator.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { queueContract } from './queue-contract.ts'
import { attemptAt, newEvent, to } from './samples.ts'

queueContract('sqlite', async (directory) => {
  const path = join(directory, 'relay.db')
  const outbox = await SqliteOutbox.open(path, (error) => t.fail(error.message))
  return { outbox, operator: SqliteOperator.open(path) }
})

t.test('the attempt at an erased delivery is on record without the words of its target', async (t) => {
  const path = join(t.testdir(), 'relay.db')
  const outbox = await SqliteOutbox.open(path, (error) => t.fail(error.message))
  const operator = SqliteOperator.open(path)
  const maintenance = SqliteMaintenance.open(path)
  t.teardown(async () => {
    await maintenance.close()
    await operator.close()
    await outbox.close()
  })
  for (const [outcome, error] of [
    ['delivered', null],
    ['failed', 'erased'],
  ] as const) {
    const event = newEvent()
    await outbox.record(event, to('crm'))
    const [leased] = (await outbox.claim('crm', 1, 1_000)).deliveries
    await maintenance.erase(event.callId!, true, 2_000)
    const attempt = { ...attemptAt(leased!, outcome), note: 'a note' }
    t.equal(await outbox.settle(leased!, attempt, { state: 'pending', dueAt: 3_000 }), 'erased')
    const shown = await operator.showDelivery(leased!.deliveryId)
    t.match(shown, { state: 'cancelled', attempts: 1, lastError: error })
    t.match(shown!.history, [{ outcome, status: attempt.status, error, response: null, note: null }])
    t.equal((await maintenance.findErasable(event.callId!)).answers, 0, 'nothing is left to erase')
  }
})
