import { join } from 'node:path'
import t from 'tap'
import { openOperatorThread } from '../../src/outbox/sqlite/operator-thread.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { eventually } from '../eventually.ts'
import { scratch } from '../scratch.ts'
import { newEvent, to } from './samples.ts'

async function opened(t: Parameters<typeof scratch>[0]) {
  const path = join(scratch(t), 'relay.db')
  const outbox = await SqliteOutbox.open(path, (error) => {
    throw error
  })
  t.teardown(() => outbox.close())
  const event = newEvent()
  await outbox.record(event, to('crm'))
  const operator = await openOperatorThread(path)
  t.teardown(() => operator.close())
  return { outbox, operator, event }
}

t.test('an operator in a thread sees and does what one here would, beside the outbox', async (t) => {
  const { operator, event } = await opened(t)
  t.match(await operator.listDeliveries({ target: 'crm' }, 10), [{ eventId: event.eventId, state: 'pending' }])
  const shown = await operator.showEvent(event.eventId)
  t.equal(Buffer.from(shown!.body!).toString(), Buffer.from(event.body).toString(), 'bytes and all')
  t.equal(await operator.cancelDeliveries({ target: 'crm' }, 5_000), 1)
  t.match(await operator.daemon(), null)
})

t.test('a failure of one call comes back as what it is, and the next works', async (t) => {
  const { operator } = await opened(t)
  await t.rejects(operator.listDeliveries({ target: {} as string }, 10), { code: 'outbox_unavailable' })
  t.equal((await operator.listDeliveries({}, 10)).length, 1)
})

t.test('more than it can soon answer is refused at once', async (t) => {
  const { operator } = await opened(t)
  const answers = await Promise.allSettled(Array.from({ length: 100 }, () => operator.listTargets(0)))
  const refused = answers.filter(({ status }) => status === 'rejected')
  t.equal(refused.length, 36)
  t.match(refused[0], { reason: { code: 'overloaded' } })
})

t.test('where there is no outbox it cannot be opened, and once closed it says so', async (t) => {
  await t.rejects(openOperatorThread(join(scratch(t), 'none.db')), { code: 'outbox_unusable' })
  const { operator } = await opened(t)
  const last = operator.listTargets(0)
  await operator.close()
  t.equal((await last).length, 1, 'what was asked before is answered')
  await t.rejects(operator.listTargets(0), { code: 'outbox_unavailable', message: 'outbox: it is closed' })
  await operator.close()
})

t.test('a thread that has ended is replaced; meanwhile calls are told so', async (t) => {
  const path = join(scratch(t), 'relay.db')
  const outbox = await SqliteOutbox.open(path, (error) => {
    throw error
  })
  t.teardown(() => outbox.close())
  await outbox.record(newEvent(), to('crm'))
  const ends: string[] = []
  const operator = await openOperatorThread(path, {
    program: new URL('./mortal-operator.js', import.meta.url),
    restartMs: 20,
    onEnd: (problem) => ends.push(problem),
  })
  t.teardown(() => operator.close())
  for (const [death, message] of Object.entries({ throw: 'outbox: boom', exit: 'outbox: its thread has ended' })) {
    const asked = operator.listDeliveries({ target: 'crm' }, 10)
    await Promise.all([
      t.rejects(operator.showCall(death), { code: 'outbox_unavailable', message }, 'what is under way is answered'),
      asked,
    ])
    await t.rejects(operator.listTargets(0), { code: 'outbox_unavailable', message }, 'and what comes then, at once')
    await eventually(
      () =>
        operator.listTargets(0).then(
          () => true,
          () => false,
        ),
      'there is another thread',
    )
    t.match(await asked, [{ target: 'crm' }])
  }
  t.same(ends, ['boom', 'its thread has ended'])
  await operator.close()
  await t.rejects(operator.listTargets(0), { message: 'outbox: it is closed' })
})
