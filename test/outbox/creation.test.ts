import { existsSync, readdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Creation } from '../../src/outbox/outbox.ts'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { lockOutbox } from '../../src/outbox/sqlite/lock.ts'
import { SqliteMaintenance } from '../../src/outbox/sqlite/sqlite-maintenance.ts'
import { SqliteOperator } from '../../src/outbox/sqlite/sqlite-operator.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { scratch } from '../scratch.ts'
import { createOlderOutbox } from './other-schema.ts'

const open = (t: Test, path: string, creation?: Creation) =>
  SqliteOutbox.open(path, (error) => t.fail(error.message), {}, creation === undefined ? {} : { creation })

const MISSING = { code: 'outbox_unusable', message: /there is no outbox at .*createIfMissing is false.*serve --create/ }

t.test('where an outbox must not be created, nothing is, and an existing one is opened', async (t) => {
  const directory = scratch(t)
  await t.rejects(open(t, join(directory, 'missing', 'relay.db'), 'never'), MISSING)
  await t.rejects(open(t, join(directory, 'relay.db'), 'never'), MISSING)
  t.same(readdirSync(directory), [], 'neither a directory nor a lock file')
  await (await open(t, join(directory, 'missing', 'relay.db'), 'always')).close()
  await (await open(t, join(directory, 'missing', 'relay.db'), 'never')).close()
})

t.test('what a start that was cut off has left is no outbox', async (t) => {
  const cuts: Record<string, (path: string) => void> = {
    'an empty file': (path) => writeFileSync(path, ''),
    'an empty file and a lock file': (path) => {
      lockOutbox(path).close()
      writeFileSync(path, '')
    },
    'a lock file': (path) => lockOutbox(path).close(),
    'a database without a schema': (path) => {
      const database = openDatabase(path)
      database.pragma('journal_mode = wal')
      database.close()
    },
  }
  for (const [what, cut] of Object.entries(cuts)) {
    const path = join(scratch(t), 'relay.db')
    cut(path)
    await t.rejects(open(t, path, 'never'), MISSING, what)
    t.throws(() => SqliteOperator.open(path), { message: /there is no outbox/ }, `${what}, to a command`)
    const outbox = await open(t, path)
    t.match(outbox.origin, { isNew: true }, what)
    await outbox.close()
  }
})

t.test('a link to a directory that does not exist is named where no outbox can be created', async (t) => {
  const directory = scratch(t)
  symlinkSync(join(directory, 'volume', 'data'), join(directory, 'data'))
  const message = `${directory}/data is a symbolic link to ${directory}/volume/data, which does not exist`
  for (const path of ['data/relay.db', 'data/deeper/relay.db']) {
    await t.rejects(open(t, join(directory, path)), { code: 'outbox_unusable', message: new RegExp(message) })
  }
  t.same(readdirSync(directory), ['data'])
})

t.test('an outbox that was there and is gone is reported as such, whoever may create one', async (t) => {
  for (const creation of ['never', 'always'] as const) {
    const path = join(scratch(t), 'relay.db')
    await (await open(t, path)).close()
    if (creation === 'never') rmSync(path)
    else truncateSync(path, 0)
    await t.rejects(open(t, path, creation), { code: 'outbox_unusable', message: /gone or empty, and there was one/ })
  }
})

t.test('an outbox knows since when it exists, also as a backup', async (t) => {
  const path = join(scratch(t), 'relay.db')
  const before = Date.now()
  const outbox = await open(t, path)
  const createdAt = outbox.origin!.createdAt
  t.ok(createdAt >= before - 1_000 && createdAt <= Date.now() + 1_000)
  t.equal(outbox.origin!.isNew, true)
  const copy = join(scratch(t), 'copy.db')
  writeFileSync(copy, '')
  const maintenance = SqliteMaintenance.open(path)
  await maintenance.backup(copy, { onProgress: () => {}, signal: new AbortController().signal })
  await maintenance.close()
  await outbox.close()
  for (const each of [path, copy]) {
    const again = await open(t, each)
    t.match(again.origin, { isNew: false, createdAt })
    const operator = SqliteOperator.open(each)
    t.match(await operator.status(1), { storage: { createdAt } })
    await operator.close()
    await again.close()
  }
})

t.test('of an outbox from before that was recorded, the earliest instant on record is known', async (t) => {
  const path = join(scratch(t), 'relay.db')
  createOlderOutbox(path, 8)
  const older = SqliteOperator.open(path)
  t.match(await older.status(1), { storage: { createdAt: null } })
  await older.close()
  const outbox = await open(t, path, 'never')
  t.match(outbox.origin, { isNew: false, createdAt: 1_000 })
  await outbox.close()
  t.ok(existsSync(path))
})
