import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import type { RelayError } from '../../src/domain/errors.ts'
import { openOutboxFile } from '../../src/outbox/sqlite/database.ts'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { scratch } from '../scratch.ts'
import { newEvent, to } from './samples.ts'

const fail = (error: Error) => t.fail(error.message)

t.test('the database is opened so that a commit is on disk', async (t) => {
  const file = openOutboxFile(join(scratch(t), 'relay.db'))
  t.teardown(() => file.close())
  t.equal(file.database.pragma('journal_mode', { simple: true }), 'wal')
  t.equal(file.database.pragma('synchronous', { simple: true }), 2, 'FULL')
})

t.test('what is created is readable by its owner only', async (t) => {
  const directory = join(scratch(t), 'new', 'deep')
  const outbox = await SqliteOutbox.open(join(directory, 'relay.db'), fail)
  t.teardown(() => outbox.close())
  await outbox.record(newEvent(), [])
  const mode = (path: string) => (statSync(path).mode & 0o777).toString(8)
  t.equal(mode(directory), '700')
  for (const file of ['relay.db', 'relay.db-wal', 'relay.db-shm', '.relay.db.lock']) {
    t.equal(mode(join(directory, file)), '600', file)
  }
})

t.test('a second daemon on the same outbox is refused at once, and let in after the first has ended', async (t) => {
  const path = join(scratch(t), 'relay.db')
  const first = await SqliteOutbox.open(path, fail)
  await t.rejects(SqliteOutbox.open(path, fail), { code: 'outbox_locked', message: /another relay is running on/ })
  await first.record(newEvent(), [])
  await first.close()
  const second = await SqliteOutbox.open(path, fail)
  await second.close()
})

t.test('an outbox written by a newer version is refused and left as it is', async (t) => {
  const path = join(scratch(t), 'relay.db')
  await (await SqliteOutbox.open(path, fail)).close()
  const database = openDatabase(path)
  database.pragma('user_version = 999')
  database.close()
  await t.rejects(SqliteOutbox.open(path, fail), { code: 'outbox_unusable', message: /newer version/ })
  const again = openDatabase(path)
  t.equal(again.pragma('user_version', { simple: true }), 999)
  again.close()
})

t.test(
  'events recorded under two sources before accounts are all kept, and one of them is the account’s',
  async (t) => {
    const path = join(scratch(t), 'relay.db')
    const folder = new URL('../../src/outbox/sqlite/migrations/', import.meta.url)
    const before = openDatabase(path)
    for (const name of ['001-initial.sql', '002-provider-side.sql'])
      before.exec(readFileSync(new URL(name, folder), 'utf8'))
    before.pragma(`application_id = ${0x5556524c}`)
    before.pragma('user_version = 2')
    const insert = before.prepare(`
    insert into events (event_id, source, event, call_id, received_at, origin)
    values (?, ?, 'call.ended', 'c', 1, 'webhook')`)
    insert.run('evt_webhook', 'webhook')
    insert.run('evt_callbacks', 'callbacks')
    before.close()
    const outbox = await SqliteOutbox.open(path, fail)
    t.teardown(() => outbox.close())
    const again = newEvent({ event: 'call.ended', callId: 'c', source: 'third', account: 'default' })
    t.match(await outbox.record(again, []), { duplicate: true, eventId: 'evt_webhook' })
    const after = openDatabase(path, { readonly: true })
    t.equal(after.prepare('select count(*) from events').pluck().get(), 2)
    after.close()
  },
)

t.test("another program's database is refused and left as it is", async (t) => {
  const path = join(scratch(t), 'other.db')
  const database = openDatabase(path)
  database.exec('create table theirs (x); insert into theirs values (1)')
  database.close()
  await t.rejects(SqliteOutbox.open(path, fail), { code: 'outbox_unusable', message: /some other program/ })
  const again = openDatabase(path)
  t.same(again.prepare('select name from sqlite_schema').pluck().all(), ['theirs'])
  again.close()
})

t.test('a damaged file is refused and not replaced', async (t) => {
  const path = join(scratch(t), 'relay.db')
  const damaged = Buffer.from('this is no database, but it is more than a hundred bytes long: '.repeat(20))
  writeFileSync(path, damaged)
  await t.rejects(SqliteOutbox.open(path, fail), {
    code: 'outbox_unusable',
    message: /relay\.db: .*SQLITE_NOTADB.*restore it/,
  })
  t.same(readFileSync(path), damaged)
})

t.test('a directory that cannot be made is told', async (t) => {
  const directory = t.testdir({ file: 'a file, not a directory' })
  const path = join(directory, 'file', 'relay.db')
  await t.rejects(SqliteOutbox.open(path, fail), {
    code: 'outbox_unusable',
    message: /cannot open the outbox .* for writing/,
  })
})

t.test('a database locked by somebody else makes the outbox unavailable, not broken', async (t) => {
  const path = join(scratch(t), 'relay.db')
  const outbox = await SqliteOutbox.open(path, fail)
  t.teardown(() => outbox.close())
  const operator = openDatabase(path)
  operator.exec('begin immediate')
  await t.rejects(outbox.record(newEvent(), []), { code: 'outbox_unavailable', message: /SQLITE_BUSY/ })
  operator.exec('rollback')
  operator.close()
  t.equal((await outbox.record(newEvent(), [])).duplicate, false)
})

t.test('one call that cannot be carried out does not take the others of its batch with it', async (t) => {
  const outbox = await SqliteOutbox.open(join(scratch(t), 'relay.db'), fail)
  t.teardown(() => outbox.close())
  const first = newEvent()
  const calls = [
    outbox.record(first, to('crm')),
    outbox.record(newEvent(), to('crm')),
    // The same event id for another event breaks a constraint.
    outbox.record({ ...newEvent(), eventId: first.eventId }, to('crm')),
    outbox.record(newEvent(), to('crm')),
  ]
  const results = await Promise.allSettled(calls)
  t.same(
    results.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'rejected', 'fulfilled'],
  )
  t.equal((await outbox.claim('crm', 9, 5_000)).deliveries.length, 3)
})

t.test('a full disk makes the outbox unavailable until there is room', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'relay-full-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', directory], { stdio: 'pipe' })
  } catch {
    t.plan(0, 'mounting a small tmpfs needs root')
    return
  }
  t.teardown(() => execFileSync('umount', [directory]))
  const outbox = await SqliteOutbox.open(join(directory, 'relay.db'), fail)
  t.teardown(() => outbox.close())
  writeFileSync(join(directory, 'ballast'), Buffer.alloc(1024 * 1024))
  const stored: string[] = []
  let refused: unknown
  for (let n = 0; n < 500 && refused === undefined; n++) {
    const event = newEvent({ body: Buffer.alloc(20_000, 'x') })
    try {
      await outbox.record(event, to('crm'))
      stored.push(event.eventId)
    } catch (error) {
      refused = error
    }
  }
  t.match(refused, { code: 'outbox_unavailable', message: /SQLITE_FULL/ })
  rmSync(join(directory, 'ballast'))
  const after = newEvent()
  t.equal((await outbox.record(after, to('crm'))).duplicate, false, 'it recovers alone')
  const { deliveries } = await outbox.claim('crm', 1_000, 5_000)
  t.same(deliveries.map(({ event }) => event.eventId).sort(), [...stored, after.eventId].sort())
})

t.test('an I/O error ends all trust: what is under way and what comes later is refused', async (t) => {
  // A limit on the size of files makes the kernel refuse a write in earnest. Its signal would end the process; it may be
  // told late, so it is ignored for good.
  process.on('SIGXFSZ', () => {})
  const limit = (bytes: number | 'unlimited') =>
    execFileSync('prlimit', ['--pid', String(process.pid), `--fsize=${bytes}:unlimited`])
  t.teardown(() => limit('unlimited'))
  const told: unknown[] = []
  const outbox = await SqliteOutbox.open(join(scratch(t), 'relay.db'), (error) => told.push(error))
  t.teardown(() => outbox.close())
  await outbox.record(newEvent(), [])
  limit(200_000)
  const large = () => outbox.record(newEvent({ body: Buffer.alloc(300_000, 'x') }), [])
  const results = await Promise.allSettled([large(), large(), outbox.claim('crm', 1, 5_000)])
  for (const result of results) t.match(result, { status: 'rejected', reason: { code: 'outbox_failed' } })
  t.match(results[0], { reason: { message: /SQLITE_IOERR/ } })
  await t.rejects(outbox.record(newEvent(), []), { code: 'outbox_failed' })
  t.equal(told.length, 1)
})

t.test(
  'an outbox that is removed or replaced under the relay is noticed before anything is acknowledged',
  async (t) => {
    const replacing = (path: string) => {
      rmSync(path)
      writeFileSync(path, '')
    }
    for (const [name, remove] of Object.entries({ removed: rmSync, replaced: replacing })) {
      const path = join(t.testdir({ [name]: {} }), name, 'relay.db')
      const told: unknown[] = []
      const outbox = await SqliteOutbox.open(path, (error) => told.push(error))
      await outbox.record(newEvent(), [])
      remove(path)
      await t.rejects(outbox.record(newEvent(), []), { code: 'outbox_failed', message: /removed or replaced/ }, name)
      t.equal(told.length, 1)
      await outbox.close()
    }
  },
)

t.test('a link to an outbox does not get around the lock', async (t) => {
  const directory = scratch(t)
  const outbox = await SqliteOutbox.open(join(directory, 'relay.db'), fail)
  t.teardown(() => outbox.close())
  symlinkSync('relay.db', join(directory, 'link.db'))
  await t.rejects(SqliteOutbox.open(join(directory, 'link.db'), fail), { code: 'outbox_locked' })
})

t.test('a delivery whose event was deleted by hand ends dead and holds nothing up', async (t) => {
  const path = join(scratch(t), 'relay.db')
  const outbox = await SqliteOutbox.open(path, fail)
  t.teardown(() => outbox.close())
  const [gone, kept] = [newEvent(), newEvent()]
  for (const event of [gone, kept]) await outbox.record(event, to('crm'))
  const database = openDatabase(path)
  database.prepare('delete from events where event_id = ?').run(gone.eventId)
  const { deliveries } = await outbox.claim('crm', 9, 5_000)
  t.same(
    deliveries.map(({ event }) => event.eventId),
    [kept.eventId],
  )
  t.match(database.prepare('select state, last_error from finished_deliveries').all(), [
    { state: 'dead', last_error: 'outbox: the event is no longer on record' },
  ])
  database.close()
})

t.test('the worker ends when the outbox is closed', async (t) => {
  const worker = new Worker(new URL('../../src/outbox/sqlite/worker.js', import.meta.url), {
    workerData: { path: join(scratch(t), 'relay.db'), creation: 'if mounted' },
  })
  await once(worker, 'message')
  worker.postMessage('close')
  const [code] = await once(worker, 'exit')
  t.equal(code, 0)
})

t.test('an outbox whose thread has ended has failed: what is asked of it is told so, and its owner once', async (t) => {
  const failures: string[] = []
  const program = new URL('./mortal-outbox.js', import.meta.url)
  const failed = ({ code, message }: RelayError) => failures.push(`${code}: ${message}`)
  const outbox = await SqliteOutbox.open(join(scratch(t), 'relay.db'), failed, {}, { program })
  const asked = [outbox.targetStates(), outbox.targetStates()]
  for (const each of asked) await t.rejects(each, { code: 'outbox_failed' })
  await t.rejects(outbox.targetStates(), { code: 'outbox_failed' })
  t.same(failures, ['outbox_failed: outbox: its thread has ended'])
  await outbox.close()
})
