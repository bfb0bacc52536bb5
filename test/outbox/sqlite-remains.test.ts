import { execFileSync } from 'node:child_process'
import { copyFileSync, existsSync, openSync, readFileSync, rmSync, statSync, truncateSync, writeSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { lockFileOf } from '../../src/outbox/lock-file.ts'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { keepOutboxState, lockOutbox, outboxState } from '../../src/outbox/sqlite/lock.ts'
import { SqliteMaintenance } from '../../src/outbox/sqlite/sqlite-maintenance.ts'
import { SqliteOperator } from '../../src/outbox/sqlite/sqlite-operator.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { scratch } from '../scratch.ts'
import { newEvent } from './samples.ts'

const open = (t: Test, path: string) => SqliteOutbox.open(path, (error) => t.fail(error.message))

/** An outbox with some events, closed in good order. */
async function closedOutbox(t: Test): Promise<string> {
  const path = join(scratch(t), 'relay.db')
  const outbox = await open(t, path)
  for (let n = 0; n < 20; n++) await outbox.record(newEvent({ body: Buffer.alloc(3_000, 'x') }), [])
  await outbox.close()
  return path
}

const GONE = {
  code: 'outbox_unusable',
  message: /gone or empty.*restore a backup with .*; or, .* move away .*\.relay\.db\.lock/,
}

t.test('an outbox that is gone or empty is not begun anew before somebody says so', async (t) => {
  for (const lose of [(path: string) => rmSync(path), (path: string) => truncateSync(path, 0)]) {
    const path = await closedOutbox(t)
    lose(path)
    await t.rejects(open(t, path), GONE)
    await t.rejects(open(t, path), GONE, 'again')
    t.throws(() => SqliteOperator.open(path), { code: 'outbox_unusable' }, 'a command makes none either')
    t.equal(statSync(path).size, 0)
    rmSync(lockFileOf(path))
    await (await open(t, path)).close()
  }
})

t.test('the log of an outbox that is gone is kept, also where nothing else is left of it', async (t) => {
  const path = join(scratch(t), 'relay.db')
  const outbox = await open(t, path)
  t.teardown(() => outbox.close())
  await outbox.record(newEvent(), [])
  const alone = join(scratch(t), 'relay.db')
  copyFileSync(`${path}-wal`, `${alone}-wal`)
  await t.rejects(open(t, alone), GONE)
  t.same(readFileSync(`${alone}-wal`), readFileSync(`${path}-wal`))
})

t.test('a start that is cut off before there is an outbox does not stand in the way of the next', async (t) => {
  const path = join(scratch(t), 'relay.db')
  lockOutbox(path).close()
  openDatabase(path).close()
  t.equal(statSync(path).size, 0)
  await (await open(t, path)).close()
})

t.test(
  'a backup beside the log of the outbox that it replaces is refused, and is whole once the log is away',
  async (t) => {
    const path = await closedOutbox(t)
    const backup = join(scratch(t), 'relay.db')
    const maintenance = SqliteMaintenance.open(path)
    await maintenance.backup(backup, { onProgress: () => {}, signal: new AbortController().signal })
    await maintenance.close()
    const outbox = await open(t, path)
    t.teardown(() => outbox.close())
    await outbox.record(newEvent(), [])
    copyFileSync(`${path}-wal`, `${backup}-wal`)
    const image = readFileSync(backup)
    const foreign = { code: 'outbox_unusable', message: /the log of another outbox.*move .*relay\.db-wal .* away/ }
    await t.rejects(open(t, backup), foreign)
    t.throws(() => SqliteOperator.open(backup), foreign)
    t.same(readFileSync(backup), image)
    rmSync(`${backup}-wal`)
    await (await open(t, backup)).close()
    const database = openDatabase(backup, { readonly: true })
    t.teardown(() => database.close())
    t.equal(database.pragma('integrity_check', { simple: true }), 'ok')
    t.equal(database.prepare('select count(*) from events').pluck().get(), 20)
  },
)

t.test('after a failure of its storage, an outbox is taken up only if it is sound', async (t) => {
  const distrusted = async () => {
    const path = await closedOutbox(t)
    const lock = lockOutbox(path)
    t.equal(outboxState(lock), 'trusted')
    keepOutboxState(lock, 'distrusted')
    lock.close()
    return path
  }
  const damaged = await distrusted()
  const middle = Math.floor(statSync(damaged).size / 8_192) * 4_096
  const file = openSync(damaged, 'r+')
  writeSync(file, Buffer.alloc(4_096, 0xee), 0, 4_096, middle)
  const refusal = { code: 'outbox_unusable', message: /damaged|malformed/ }
  await t.rejects(open(t, damaged), refusal)
  await t.rejects(open(t, damaged), refusal, 'again')

  const sound = await distrusted()
  await (await open(t, sound)).close()
  const lock = lockOutbox(sound)
  t.equal(outboxState(lock), 'trusted')
  lock.close()
})

t.test(
  'an outbox that is moved away as `mv relay.db*` leaves its lock, and no other is created in its place',
  async (t) => {
    const path = await closedOutbox(t)
    const elsewhere = scratch(t)
    execFileSync('sh', ['-euc', 'mv "$1"* "$2"', 'sh', path, elsewhere])
    t.ok(existsSync(join(elsewhere, basename(path))))
    await t.rejects(open(t, path), GONE)
    execFileSync('sh', ['-euc', 'mv "$1"/* "$2"', 'sh', elsewhere, dirname(path)])
    await (await open(t, path)).close()
  },
)
