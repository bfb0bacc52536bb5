import { join } from 'node:path'
import t from 'tap'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { createProbeChoice, dueFrom, NEWEST_ROWS, READ_FOR_PROBE } from '../../src/outbox/sqlite/probe-choice.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { scratch } from '../scratch.ts'

const ROWS = 10 * READ_FOR_PROBE

t.test('a probe is chosen among a bounded number of rows, however many have failed', async (t) => {
  const path = join(scratch(t), 'relay.db')
  const outbox = await SqliteOutbox.open(path, (error) => t.fail(error.message))
  await outbox.close()
  const database = openDatabase(path)
  t.teardown(() => database.close())
  database.exec(`
    insert into live_deliveries
      (event_seq, target, due_at, updated_at, attempts, round_attempts, first_attempt_at, last_error)
    with recursive n (n) as (select 1 union all select n + 1 from n where n < ${ROWS})
    select n, 'crm', n, 1, 2, 2, 1, 'http 500' from n`)
  const { probeIds } = createProbeChoice(database)
  const update = database.prepare('update live_deliveries set last_error = null, due_at = @due where delivery_id = @id')
  t.equal(probeIds('crm', 1, ROWS).length, 1, 'all have failed')
  update.run({ id: ROWS / 2, due: ROWS / 2 })
  t.not(probeIds('crm', 1, ROWS)[0], ROWS / 2, 'rows in between are not read')
  update.run({ id: ROWS - 1, due: ROWS / 2 })
  t.same(probeIds('crm', 1, ROWS), [ROWS - 1], 'one that came last is found wherever it is due')
  for (const sql of [NEWEST_ROWS, dueFrom('asc'), dueFrom('desc')]) {
    const plan = database.prepare(`explain query plan ${sql}`).all({ target: 'x', background: 0, now: 1, rows: 1 })
    const steps = plan.map((row) => (row as { detail: string }).detail)
    t.notMatch(steps.join('\n'), /TEMP B-TREE/, 'no row is read to be sorted')
    // The newest rows are read from the end of the table, and no more than the limit.
    if (sql !== NEWEST_ROWS) t.match(steps, [/^SEARCH live_deliveries USING INDEX live_deliveries_by_due/])
  }
})
