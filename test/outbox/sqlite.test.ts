import { join } from 'node:path'
import t from 'tap'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { outboxContract } from './contract.ts'

outboxContract('sqlite', (directory) =>
  SqliteOutbox.open(join(directory, 'relay.db'), (error) => t.fail(error.message)),
)
