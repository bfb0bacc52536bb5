import { statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { errorAnswer } from '../../src/admin/answers.ts'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { SCHEMA } from '../../src/outbox/sqlite/migrate.ts'
import { openOperatorThread } from '../../src/outbox/sqlite/operator-thread.ts'
import { SqliteMaintenance } from '../../src/outbox/sqlite/sqlite-maintenance.ts'
import { SqliteOperator } from '../../src/outbox/sqlite/sqlite-operator.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { scratch } from '../scratch.ts'
import { createOlderOutbox, makeNewer, schemaIn } from './other-schema.ts'
import { runningProcess } from './running-process.ts'
import { newEvent } from './samples.ts'

const open = (t: Test, path: string) => SqliteOutbox.open(path, (error) => t.fail(error.message))
const BACKUP = { onProgress: () => {}, signal: new AbortController().signal }

function olderOutbox(t: Test, schema = SCHEMA - 1): string {
  const path = join(scratch(t), 'relay.db')
  createOlderOutbox(path, schema)
  return path
}

async function newerOutbox(t: Test): Promise<string> {
  const path = join(scratch(t), 'relay.db')
  await (await open(t, path)).close()
  makeNewer(path)
  return path
}

t.test('an operator reads an older outbox, writes nothing to it and leaves its schema', async (t) => {
  const path = olderOutbox(t)
  const before = {
    code: 'outbox_unusable',
    message: `schema ${SCHEMA - 1}, and this program needs ${SCHEMA}: start the`,
  }
  const operator = SqliteOperator.open(path)
  t.match(await operator.status(1), { events: 1, storage: { schemaVersion: SCHEMA - 1, programSchema: SCHEMA } })
  t.match(await operator.listDeliveries({}, 10), [{ deliveryId: 1, state: 'dead' }])
  t.match(await operator.listEvents({}, 10), [{ eventId: 'evt_old' }])
  await t.rejects(operator.retryDeliveries({ deliveryIds: [1] }, 1), before)
  await t.rejects(operator.setPaused('crm', true, 1), before)
  await t.rejects(operator.requestReload(), before)
  await t.rejects(operator.record(newEvent(), []), before)
  t.match(await operator.listDeliveries({}, 10), [{ state: 'dead' }])
  await operator.close()
  const maintenance = SqliteMaintenance.open(path)
  t.match(await maintenance.diagnose(false), { schemaVersion: SCHEMA - 1, programSchema: SCHEMA, damage: [] })
  const all = { before: 9_000, dead: true, bodiesOnly: false }
  t.match(await maintenance.countPrunable(all), { events: 1 })
  await t.rejects(maintenance.pruneEvents(all, 0, 10, 1), before)
  await t.rejects(maintenance.erase('call-1', true, 1), before)
  await t.rejects(maintenance.vacuum(), before)
  await maintenance.close()
  t.equal(schemaIn(path), SCHEMA - 1)
})

t.test('the admin API reads an older outbox as well, and answers 503 to what would write', async (t) => {
  const operator = await openOperatorThread(olderOutbox(t))
  t.match(await operator.status(1), { events: 1 })
  const error = await operator.setPaused('crm', true, 1).catch((error: unknown) => error)
  t.match(errorAnswer(error), { status: 503, body: { error: 'outbox_unusable', message: /start the relay first/ } })
  await operator.close()
})

t.test('on an outbox of any age, a query says what it lacks in terms of the schema', async (t) => {
  for (let schema = 1; schema < SCHEMA; schema++) {
    const path = olderOutbox(t, schema)
    const operator = SqliteOperator.open(path)
    const reads = [
      operator.status(1),
      operator.daemon(),
      operator.provider(),
      operator.clock({ wallMs: 1, uptimeMs: 1, bootId: '' }),
      operator.listRejections({}, 10),
      operator.listTargets(1),
      operator.showCall('call-1'),
      operator.newestEntries({ kinds: ['event', 'attempt', 'refusal'] }, 10),
    ]
    const failed = (await Promise.allSettled(reads)).filter((result) => result.status === 'rejected')
    for (const { reason } of failed) t.match(reason, { code: 'outbox_unusable', message: `has schema ${schema},` })
    t.comment(`schema ${schema}: ${reads.length - failed.length} of ${reads.length} reads answered`)
    await operator.close()
    t.equal(schemaIn(path), schema)
  }
})

t.test('an outbox of a newer version is neither read nor written, and says so', async (t) => {
  const path = await newerOutbox(t)
  const newer = {
    code: 'outbox_unusable',
    message: /newer version of the relay \(schema \d+, this program knows \d+\)/,
  }
  t.throws(() => SqliteOperator.open(path), newer)
  const maintenance = SqliteMaintenance.open(path)
  await t.rejects(maintenance.diagnose(false), newer)
  await t.rejects(maintenance.findErasable('call-1'), newer)
  await t.rejects(maintenance.vacuum(), newer)
  await maintenance.close()
  await t.rejects(open(t, path), newer)
  t.equal(schemaIn(path), SCHEMA + 1)
})

t.test('a backup copies an outbox of an older and of a newer version with its schema', async (t) => {
  for (const [path, expected] of [
    [olderOutbox(t), { schema: SCHEMA - 1, report: { events: 1, deliveries: 1 } }],
    [await newerOutbox(t), { schema: SCHEMA + 1, report: { events: null, deliveries: null } }],
  ] as const) {
    const copy = join(scratch(t), 'copy.db')
    writeFileSync(copy, '')
    const maintenance = SqliteMaintenance.open(path)
    t.same(await maintenance.backup(copy, BACKUP), expected.report)
    await maintenance.close()
    t.equal(schemaIn(copy), expected.schema)
  }
})

t.test('a command writes nothing more once a newer relay has migrated the outbox under it', async (t) => {
  const path = join(scratch(t), 'relay.db')
  await (await open(t, path)).close()
  const operator = SqliteOperator.open(path)
  await operator.setPaused('crm', true, 1)
  const newer = openDatabase(path)
  newer.pragma(`user_version = ${SCHEMA + 1}`)
  await t.rejects(operator.setPaused('crm', false, 2), { code: 'outbox_unusable', message: /newer version/ })
  t.equal(newer.prepare('select paused from target_states').pluck().get(), 1)
  newer.close()
  await operator.close()
})

t.test('a start that was cut off before there was a schema is no outbox to a command, and stays so', async (t) => {
  const path = join(scratch(t), 'relay.db')
  const database = openDatabase(path)
  database.pragma('journal_mode = wal')
  database.close()
  t.throws(() => SqliteOperator.open(path), {
    code: 'outbox_unusable',
    message: /there is no outbox in .*start the relay/,
  })
  t.equal(schemaIn(path), 0)
  await (await open(t, path)).close()
  t.equal(schemaIn(path), SCHEMA)
})

t.test(
  'an outbox is migrated only when a relay that has lost its lock file has ended',
  { skip: process.platform !== 'linux' && 'needs /proc' },
  async (t) => {
    const path = olderOutbox(t)
    const { child, identity } = runningProcess(t)
    const database = openDatabase(path)
    t.teardown(() => database.close())
    const { dev, ino } = statSync(path)
    database
      .prepare(`
      insert into daemon_instance (only_one, instance_id, process, lock_file, database_file)
      values (1, 'of before', ?, 'none', ?)`)
      .run(identity, `${dev}:${ino}`)
    const opened = open(t, path)
    const isOpen = opened.then(() => true)
    for (let n = 0; n < 5; n++) {
      t.equal(await Promise.race([isOpen, sleep(100)]), undefined, 'it waits')
      t.equal(schemaIn(path), SCHEMA - 1, 'the other one goes on with its schema')
    }
    child.kill('SIGKILL')
    const outbox = await opened
    t.equal(schemaIn(path), SCHEMA)
    await outbox.close()
  },
)
