import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { SqliteMaintenance } from '../../src/outbox/sqlite/sqlite-maintenance.ts'
import { SqliteOperator } from '../../src/outbox/sqlite/sqlite-operator.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { scratch } from '../scratch.ts'
import { newEvent, to } from './samples.ts'

t.test('the log of an outbox is found through a link too, and its size is told alike', async (t) => {
  const directory = scratch(t)
  const path = join(directory, 'relay.db')
  const link = join(directory, 'link.db')
  const outbox = await SqliteOutbox.open(path, (error) => t.fail(error.message))
  symlinkSync(path, link)
  const maintenance = SqliteMaintenance.open(link)
  const operator = SqliteOperator.open(link)
  t.teardown(() => Promise.all([outbox.close(), maintenance.close(), operator.close()]))

  await outbox.record(newEvent(), to('crm'))
  const { logBytes } = await maintenance.diagnose(false)
  t.ok(logBytes > 0)
  t.equal((await operator.status(0)).storage.walBytes, logBytes)
})
