import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { deliveryCondition } from '../../src/outbox/sqlite/filter.ts'
import { SqliteOperator } from '../../src/outbox/sqlite/sqlite-operator.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { eventually } from '../eventually.ts'
import { historyContract } from './history-contract.ts'
import { operatorContract } from './operator-contract.ts'
import { rejectionContract } from './rejection-contract.ts'
import { newEvent, to } from './samples.ts'

const fail = (error: Error) => t.fail(error.message)

for (const contract of [operatorContract, historyContract, rejectionContract]) {
  contract('sqlite', async (directory: string, onRecallRequest: (request: number) => void = () => {}) => {
    const path = join(directory, 'relay.db')
    const outbox = await SqliteOutbox.open(path, fail, { onRecallRequest })
    return { outbox, operator: SqliteOperator.open(path) }
  })
}

t.test('where there is no outbox, none is made', async (t) => {
  const path = join(t.testdir(), 'relay.db')
  t.throws(() => SqliteOperator.open(path), { code: 'outbox_unusable', message: /there is no outbox at .*relay\.db/ })
  t.throws(() => openDatabase(path, { fileMustExist: true }))
})

t.test('what is no outbox of ours, or of a newer version, is refused', async (t) => {
  const directory = t.testdir()
  const path = join(directory, 'damaged.db')
  writeFileSync(path, 'this is no database, but it is more than a hundred bytes long: '.repeat(20))
  t.throws(() => SqliteOperator.open(path), { code: 'outbox_failed', message: /SQLITE_NOTADB/ })
  const newer = join(directory, 'newer.db')
  await (await SqliteOutbox.open(newer, fail)).close()
  const database = openDatabase(newer)
  database.pragma('user_version = 999')
  database.close()
  t.throws(() => SqliteOperator.open(newer), { code: 'outbox_unusable', message: /newer version/ })
})

t.test('the daemon is told within two seconds of what an operator changes, and not of what one looks at', async (t) => {
  const path = join(t.testdir(), 'relay.db')
  let changes = 0
  const onChange = () => {
    changes += 1
  }
  const outbox = await SqliteOutbox.open(path, fail, { onChange })
  t.teardown(() => outbox.close())
  await outbox.record(newEvent(), to('crm'))
  const looking = SqliteOperator.open(path)
  t.equal((await looking.listDeliveries({}, 10)).length, 1)
  await looking.listTargets(1_000)
  const before = openDatabase(path, { readonly: true })
  const version = () => before.pragma('data_version', { simple: true })
  const unchanged = version()
  await SqliteOperator.open(path).close()
  t.equal(version(), unchanged, 'opening writes nothing')
  before.close()
  t.equal(changes, 0)
  await looking.setPaused('crm', true, 2_000)
  await looking.close()
  await eventually(() => changes === 1, 'the change', 2_000)
})

t.test('deliveries named by their ids are looked up by them, whatever else the filter says', async (t) => {
  const path = join(t.testdir(), 'relay.db')
  await (await SqliteOutbox.open(path, fail)).close()
  const database = openDatabase(path, { readonly: true })
  const filters = [{}, { target: 'crm' }, { target: 'crm', since: 1, until: 9, error: 'x', exceptSource: 'relay' }]
  for (const filter of filters) {
    const { sql, parameters } = deliveryCondition({ ...filter, deliveryIds: [1, 2] })
    for (const table of ['live_deliveries d', "(select * from finished_deliveries where state = 'dead') d"]) {
      const plan = database
        .prepare(`explain query plan select 1 from ${table} join events e on e.event_seq = d.event_seq where ${sql}`)
        .all(parameters) as { detail: string }[]
      t.match(plan[0]!.detail, /^SEARCH \S+ USING INTEGER PRIMARY KEY \(rowid=\?\)$/, JSON.stringify(filter))
    }
  }
  database.close()
})
