import { join } from 'node:path'
import t from 'tap'
import { SqliteOperator } from '../../src/outbox/sqlite/sqlite-operator.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { queueContract } from './queue-contract.ts'

queueContract('sqlite', async (directory) => {
  const path = join(directory, 'relay.db')
  const outbox = await SqliteOutbox.open(path, (error) => t.fail(error.message))
  return { outbox, operator: SqliteOperator.open(path) }
})
