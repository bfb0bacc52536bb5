import { execFileSync } from 'node:child_process'
import { existsSync, linkSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { lockFileOf } from '../../src/outbox/lock-file.ts'
import { createBatchRunner } from '../../src/outbox/sqlite/batch.ts'
import { type OutboxFile, openOutboxFile } from '../../src/outbox/sqlite/database.ts'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { SqliteOperator } from '../../src/outbox/sqlite/sqlite-operator.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { createStore } from '../../src/outbox/sqlite/store.ts'
import { scratch } from '../scratch.ts'
import { backup, eventsIn } from './outbox-files.ts'
import { newEvent, to } from './samples.ts'

/** What the outbox's thread works with, in this one: starting a thread takes longer than most of these tests. */
interface OpenOutbox extends OutboxFile {
  /** Commits events of 2 kB, all at once, and does what the thread does before it answers. */
  record(count: number): void
}

function open(path: string): OpenOutbox {
  const file = openOutboxFile(path)
  const run = createBatchRunner(file.database, createStore(file.database), file.assertOwner, file.checkpoint)
  return {
    ...file,
    record(count) {
      const events = Array.from({ length: count }, () => newEvent({ body: Buffer.alloc(2_000, 'x') }))
      run(events.map((event) => ({ method: 'record', args: [event, to('crm')] })))
      file.assertInPlace()
    },
  }
}

const openAndClose = (path: string) => open(path).close()

/** Without closing a descriptor of the file in this process, which would give up SQLite's locks on it. */
const cp = (from: string, to: string) => execFileSync('cp', [from, to])
const sqlite3 = (...args: string[]) => execFileSync('sqlite3', args)

/** The files of an outbox as a crash leaves them. */
function crashed(t: Test, path: string): string {
  const copy = join(scratch(t), 'relay.db')
  for (const suffix of ['', '-wal']) if (existsSync(`${path}${suffix}`)) cp(`${path}${suffix}`, `${copy}${suffix}`)
  if (existsSync(lockFileOf(path))) cp(lockFileOf(path), lockFileOf(copy))
  return copy
}

/** Ways to make a copy of an outbox on which a relay runs. */
const COPIES: Readonly<Record<string, (path: string, to: string) => unknown>> = {
  'a backup': backup,
  'a file copy': cp,
  'a copy by sqlite3 .backup': (path, to) => sqlite3(path, `.backup ${to}`),
  'a copy by vacuum into': (path, to) => sqlite3(path, `vacuum into '${to}'`),
  'a dump in WAL mode': (path, to) => {
    execFileSync('sh', ['-c', `sqlite3 '${path}' .dump | sqlite3 '${to}'`])
    sqlite3(to, 'pragma journal_mode = wal')
  },
}

const OVERWRITTEN = { code: 'outbox_failed', message: /overwritten|truncated/ }

for (const [name, copy] of Object.entries(COPIES)) {
  t.test(`${name} over the outbox of a running relay is noticed, and neither it nor the WAL is touched`, async (t) => {
    const path = join(scratch(t), 'relay.db')
    const outbox = open(path)
    outbox.record(10)
    const file = join(scratch(t), 'copy.db')
    await copy(path, file)
    outbox.record(10)
    outbox.checkpoint()
    outbox.record(10)
    const command = SqliteOperator.open(path)
    cp(file, path)
    t.throws(() => outbox.record(1), OVERWRITTEN)
    t.throws(() => outbox.checkpoint(), OVERWRITTEN)
    outbox.close()
    outbox.abandon()
    await command.close()
    const foreign = readFileSync(file)
    t.ok(readFileSync(path).equals(foreign), 'nothing was written into it')
    t.ok(statSync(`${path}-wal`).size > 10_000, 'the WAL is kept')
    const unusable = { code: 'outbox_unusable', message: /another|not belong/ }
    t.throws(() => open(path), unusable, 'the next start')
    t.throws(() => SqliteOperator.open(path), unusable, 'a command')
    t.ok(readFileSync(path).equals(foreign), 'nor afterwards')
  })
}

t.test('nothing is acknowledged once the outbox of a running relay was overwritten', async (t) => {
  const path = join(scratch(t), 'relay.db')
  const told: Error[] = []
  const outbox = await SqliteOutbox.open(path, (error) => told.push(error))
  await outbox.record(newEvent(), to('crm'))
  const file = join(scratch(t), 'backup.db')
  await backup(path, file)
  await outbox.record(newEvent(), to('crm'))
  cp(file, path)
  await t.rejects(outbox.record(newEvent(), []), OVERWRITTEN)
  t.match(told, [OVERWRITTEN])
  await outbox.close()
  t.ok(readFileSync(path).equals(readFileSync(file)))
  t.ok(statSync(`${path}-wal`).size > 0)
})

t.test('a relay that was not closed is not started without its WAL, and no command hides that', async (t) => {
  const path = join(scratch(t), 'relay.db')
  const outbox = open(path)
  outbox.record(3)
  const losses: Readonly<Record<string, (wal: string) => void>> = {
    removed: (wal) => rmSync(wal),
    emptied: (wal) => truncateSync(wal, 0),
    overwritten: (wal) => writeFileSync(wal, Buffer.alloc(40_000, 'x')),
  }
  const message = /WAL .* is missing .* since 20\d\d-.*restore FILE.*--without-wal.*backfill/
  for (const [how, lose] of Object.entries(losses)) {
    const copy = crashed(t, path)
    lose(`${copy}-wal`)
    t.throws(() => open(copy), { code: 'outbox_unusable', message }, how)
    t.throws(() => SqliteOperator.open(copy), { code: 'outbox_unusable', message }, `${how}: a command`)
    sqlite3(copy, 'insert or replace into reload_requests (only_one, requested) values (1, 1)')
    t.throws(() => open(copy), { message }, `${how}: after another program has written to it`)
    const writer = openDatabase(copy)
    writer.exec('insert or replace into reload_requests (only_one, requested) values (1, 2)')
    t.throws(() => open(copy), { message }, `${how}: while it does`)
    writer.close()
  }
  outbox.close()
})

t.test('a second path to the file of a running relay is refused, also with a lock of its own', async (t) => {
  const path = join(scratch(t), 'relay.db')
  const outbox = open(path)
  outbox.record(3)
  const other = join(scratch(t), 'relay.db')
  linkSync(path, other)
  writeFileSync(lockFileOf(other), '')
  t.throws(() => open(other), { code: 'outbox_unusable', message: /WAL .* is missing/ }, 'by its WAL')
  rmSync(other)
  execFileSync('mv', [path, other])
  t.throws(() => open(other), { code: 'outbox_unusable', message: /WAL .* is missing/ }, 'moved')
  t.throws(() => SqliteOperator.open(other), { code: 'outbox_unusable' })
  execFileSync('mv', [other, path])
  outbox.close()
})

t.test('an outbox that has its whole WAL in the file needs no WAL', async (t) => {
  const path = join(scratch(t), 'relay.db')
  const outbox = open(path)
  outbox.record(3)
  const ways: Readonly<Record<string, (path: string) => unknown>> = {
    'sqlite3 after a crash': (path) => sqlite3(path, 'select count(*) from events'),
    'a command after a crash': (path) => SqliteOperator.open(path).close(),
    'a checkpoint that empties it': (path) => sqlite3(path, 'pragma wal_checkpoint(truncate)'),
    'vacuum after a crash': (path) => sqlite3(path, 'vacuum'),
    'a start and a clean end': openAndClose,
  }
  for (const [how, take] of Object.entries(ways)) {
    const copy = crashed(t, path)
    await take(copy)
    t.notOk(existsSync(`${copy}-wal`), how)
    t.equal(eventsIn(copy), 3)
    openAndClose(copy)
  }
  outbox.close()
})

t.test('a start after a crash at any moment of a start or checkpoint finds everything', async (t) => {
  const path = join(scratch(t), 'relay.db')
  const outbox = open(path)
  outbox.record(3)
  const reader = openDatabase(path, { readonly: true })
  reader.exec('begin')
  reader.prepare('select count(*) from events').get()
  outbox.record(3)
  outbox.checkpoint()
  openAndClose(crashed(t, path))
  outbox.record(3)
  reader.close()
  outbox.checkpoint()
  const copy = crashed(t, path)
  for (let n = 0; n < 3; n++) {
    const again = open(copy)
    openAndClose(crashed(t, copy))
    again.record(1)
    again.close()
  }
  t.equal(eventsIn(copy), 12)
  outbox.close()
})

t.test('a crash in a checkpoint, after which sqlite3 removes the WAL, leaves an outbox that starts', (t) => {
  const path = join(scratch(t), 'relay.db')
  const outbox = open(path)
  outbox.record(3)
  const { pragma, exec } = outbox.database
  const copies: string[] = []
  outbox.database.pragma = function (sql, options) {
    const result = pragma.call(this, sql, options)
    copies.push(crashed(t, path))
    return result
  }
  outbox.database.exec = function (sql) {
    exec.call(this, sql)
    copies.push(crashed(t, path))
    return this
  }
  outbox.checkpoint()
  Object.assign(outbox.database, { pragma, exec })
  outbox.close()
  t.ok(copies.length >= 8, 'after all steps')
  for (const copy of copies) {
    sqlite3(copy, 'select count(*) from events')
    t.notOk(existsSync(`${copy}-wal`))
    openAndClose(copy)
    t.equal(eventsIn(copy), 3)
  }
  t.end()
})

t.test('a WAL that was begun once more without a mark, because the database was locked, is found', async (t) => {
  const path = join(scratch(t), 'relay.db')
  const outbox = open(path)
  outbox.record(3)
  const writer = openDatabase(path)
  const commit = outbox.database.exec
  let commits = 0
  // The third commit of a checkpoint is what makes the mark in the file differ from the other one.
  outbox.database.exec = function (sql) {
    if (sql === 'commit' && ++commits === 3) throw Object.assign(new Error('locked'), { code: 'SQLITE_BUSY' })
    return commit.call(this, sql)
  }
  outbox.checkpoint()
  outbox.database.exec = commit
  t.notOk(outbox.assertInPlace().isMarked, 'it is tried again')
  outbox.record(1)
  openAndClose(crashed(t, path))
  outbox.checkpoint()
  t.ok(outbox.assertInPlace().isMarked)
  writer.close()
  outbox.close()
})

t.test('an outbox whose marks could not be written, as it was locked, is closed in a way that starts', (t) => {
  for (const locked of [1, 2, 3]) {
    const path = join(scratch(t), 'relay.db')
    const outbox = open(path)
    outbox.record(3)
    const commit = outbox.database.exec
    let commits = 0
    outbox.database.exec = function (sql) {
      if (sql === 'commit' && ++commits >= locked) throw Object.assign(new Error('locked'), { code: 'SQLITE_BUSY' })
      return commit.call(this, sql)
    }
    outbox.checkpoint()
    outbox.close()
    t.notOk(existsSync(`${path}-wal`))
    openAndClose(path)
    t.equal(eventsIn(path), 3)
  }
  t.end()
})

t.test('a checkpoint that another process or a full disk keeps from ending does not end the relay', (t) => {
  const path = join(scratch(t), 'relay.db')
  const outbox = open(path)
  const checkpoint = outbox.database.pragma
  const failures: Readonly<Record<string, () => unknown>> = {
    // What SQLite answers while another connection checkpoints.
    'another checkpoint': () => [{ busy: 1, log: -1, checkpointed: -1 }],
    'a full disk': () => {
      throw Object.assign(new Error('database or disk is full'), { code: 'SQLITE_FULL' })
    },
  }
  for (const [how, fail] of Object.entries(failures)) {
    // The first checkpoint takes the WAL over, the second one the mark.
    for (const failing of [1, 2]) {
      outbox.record(3)
      let calls = 0
      outbox.database.pragma = function (sql, options) {
        return sql.startsWith('wal_checkpoint') && ++calls >= failing ? fail() : checkpoint.call(this, sql, options)
      }
      outbox.checkpoint()
      t.equal(calls, failing, `${how}: checkpoint ${failing}`)
      outbox.database.pragma = checkpoint
      outbox.record(1)
      openAndClose(crashed(t, path))
    }
  }
  outbox.checkpoint()
  t.ok(outbox.assertInPlace().isMarked)
  outbox.close()
  t.equal(eventsIn(path), 16)
  t.end()
})

t.test('the WAL of another outbox, or of another state of this one, is refused and kept', async (t) => {
  const path = join(scratch(t), 'relay.db')
  openAndClose(path)
  const old = crashed(t, path)
  const outbox = open(path)
  outbox.record(3)
  const early = crashed(t, path)
  outbox.checkpoint()
  outbox.record(3)
  outbox.checkpoint()
  outbox.record(3)
  const late = crashed(t, path)
  const other = join(scratch(t), 'relay.db')
  const another = open(other)
  another.record(3)
  const foreign = crashed(t, other)
  for (const [file, wal] of [
    [old, late],
    [early, late],
    [late, early],
    [late, foreign],
    [old, foreign],
  ] as const) {
    const mixed = crashed(t, file)
    cp(`${wal}-wal`, `${mixed}-wal`)
    const images = [mixed, `${mixed}-wal`].map((name) => readFileSync(name))
    const unusable = { code: 'outbox_unusable', message: /does not belong to/ }
    t.throws(() => open(mixed), unusable)
    t.throws(() => SqliteOperator.open(mixed), unusable)
    t.ok(readFileSync(mixed).equals(images[0]!))
    t.ok(readFileSync(`${mixed}-wal`).equals(images[1]!))
  }
  openAndClose(late)
  t.equal(eventsIn(late), 9)
  another.close()
  outbox.close()
})

t.test('files of an outbox that are overwritten, truncated or moved under the relay are noticed', async (t) => {
  const other = join(scratch(t), 'relay.db')
  const another = open(other)
  another.record(30)
  const ways: Readonly<Record<string, (path: string) => unknown>> = {
    'WAL overwritten with another': (path) => cp(`${other}-wal`, `${path}-wal`),
    'index overwritten with another': (path) => cp(`${other}-shm`, `${path}-shm`),
    'WAL truncated': (path) => truncateSync(`${path}-wal`, 4_096),
    'WAL emptied': (path) => truncateSync(`${path}-wal`, 0),
    'database emptied': (path) => truncateSync(path, 0),
    'database moved away': (path) => execFileSync('mv', [path, `${path}.old`]),
    'WAL moved away': (path) => execFileSync('mv', [`${path}-wal`, `${path}.old`]),
  }
  for (const [how, change] of Object.entries(ways)) {
    const path = join(scratch(t), 'relay.db')
    const outbox = open(path)
    outbox.record(3)
    change(path)
    t.throws(() => outbox.assertInPlace(), { code: 'outbox_failed', message: /while the relay was running/ }, how)
    outbox.abandon()
  }
  another.close()
})

t.test('what was acknowledged is whole again once the file that the WAL belongs to is put back', async (t) => {
  const path = join(scratch(t), 'relay.db')
  const outbox = open(path)
  outbox.record(3)
  const file = join(scratch(t), 'backup.db')
  await backup(path, file)
  outbox.record(3)
  outbox.checkpoint()
  outbox.record(3)
  const command = SqliteOperator.open(path)
  execFileSync('mv', [path, `${path}.mine`])
  cp(file, path)
  t.throws(() => outbox.assertInPlace(), { code: 'outbox_failed', message: /removed or replaced/ })
  outbox.abandon()
  await command.close()
  t.throws(() => open(path), { code: 'outbox_unusable' })
  execFileSync('mv', [`${path}.mine`, path])
  openAndClose(path)
  t.equal(eventsIn(path), 9)
})

t.test('a vacuum by another program is none of this; a restore through SQLite is', async (t) => {
  const path = join(scratch(t), 'relay.db')
  const outbox = open(path)
  outbox.record(30)
  outbox.checkpoint()
  sqlite3(path, '.timeout 5000', 'vacuum', 'pragma wal_checkpoint')
  outbox.record(3)
  outbox.checkpoint()
  outbox.record(3)
  const file = join(scratch(t), 'copy.db')
  sqlite3(path, `.backup ${file}`)
  outbox.checkpoint()
  outbox.record(3)
  sqlite3(path, '.timeout 5000', `.restore ${file}`)
  t.throws(() => outbox.assertOwner(), { code: 'outbox_failed', message: /older copy|overwritten/ })
  outbox.abandon()
})
