import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { SqliteMaintenance } from '../../src/outbox/sqlite/sqlite-maintenance.ts'
import { SqliteOperator } from '../../src/outbox/sqlite/sqlite-operator.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { closeAll, queueStatesContract } from './queue-states-contract.ts'

queueStatesContract('sqlite', {
  async open(directory) {
    const path = join(directory, 'relay.db')
    const outbox = await SqliteOutbox.open(path, (error) => t.fail(error.message))
    return { outbox, operator: SqliteOperator.open(path), maintenance: SqliteMaintenance.open(path) }
  },
  async crash(open, directory, aside) {
    // By another process: where this one closes a file, SQLite loses all of its locks on it.
    const copy = (from: string, to: string) => {
      for (const file of ['relay.db', 'relay.db-wal']) execFileSync('cp', [join(from, file), join(to, file)])
    }
    copy(directory, aside)
    await closeAll(open)
    copy(aside, directory)
  },
})
