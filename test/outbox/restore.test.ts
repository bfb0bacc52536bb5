import { execFileSync } from 'node:child_process'
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { lockFileOf } from '../../src/outbox/lock-file.ts'
import { openOutboxFile } from '../../src/outbox/sqlite/database.ts'
import { prepareRestore } from '../../src/outbox/sqlite/restore.ts'
import { createStore } from '../../src/outbox/sqlite/store.ts'
import { isPartialName } from '../../src/partial-file.ts'
import { scratch } from '../scratch.ts'
import { backup, eventsIn } from './outbox-files.ts'
import { newEvent, to } from './samples.ts'

const NOW = Date.parse('2026-02-03T04:05:06.789Z')
const WITH_WAL = { withoutWal: false }

/** An outbox in this thread. `record` commits events that were received then, and returns their number. */
function open(path: string) {
  const file = openOutboxFile(path)
  const store = createStore(file.database)
  const record = (...receivedAt: number[]) => {
    for (const at of receivedAt) store.record(newEvent({ receivedAt: at }), to('crm'))
  }
  return { ...file, record }
}

/** An outbox with two events in a backup and three more since, closed or as a crash left it. */
async function outboxWithBackup(t: Test, isClosed: boolean) {
  const directory = scratch(t)
  const path = join(directory, 'relay.db')
  const outbox = open(path)
  outbox.record(1_000, 2_000)
  const copy = await backup(path, join(scratch(t), 'backup.db'))
  outbox.record(3_000, 4_000, 5_000)
  if (isClosed) outbox.close()
  else outbox.abandon()
  return { directory, path, copy }
}

function restore(path: string, from: string | null, withoutWal = false) {
  const restoration = prepareRestore(path, from, { withoutWal })
  try {
    return { ...restoration.report, ...restoration.commit(NOW) }
  } finally {
    restoration.close()
  }
}

/** How an outbox names a process that runs, and is not this one. */
function parentProcess(): string {
  const stat = readFileSync(`/proc/${process.ppid}/stat`, 'utf8')
  const started = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  return [boot, readlinkSync('/proc/self/ns/pid'), process.ppid, started].join('/')
}

for (const [name, isClosed] of Object.entries({ 'was closed': true, 'has crashed': false })) {
  t.test('what a killed restore leaves is recognised as a partial file', async (t) => {
    const { directory, path, copy } = await outboxWithBackup(t, true)
    const before = readdirSync(directory)
    const restoration = prepareRestore(path, copy, WITH_WAL)
    const made = readdirSync(directory).filter((name) => !before.includes(name))
    t.ok(made.length > 0 && made.every((name) => isPartialName(name)), made.join())
    restoration.close()
    t.same(readdirSync(directory), before)
  })

  t.test(`a backup takes the place of an outbox that ${name}, which is kept and can be restored in turn`, async (t) => {
    const { directory, path, copy } = await outboxWithBackup(t, isClosed)
    const keptIn = `${path}-replaced-20260203T040506Z`
    t.match(restore(path, copy), {
      events: 2,
      deliveries: 2,
      unfinished: 2,
      newestEventAt: 2_000,
      incompleteSince: null,
      replaced: { missing: 3, firstMissingAt: 3_000, lastMissingAt: 5_000 },
      keptIn,
    })
    t.same(readdirSync(directory).sort(), ['.relay.db.lock', 'relay.db', 'relay.db-replaced-20260203T040506Z'])
    t.equal(statSync(path).mode & 0o777, 0o600)
    t.equal(statSync(keptIn).mode & 0o777, 0o700)
    open(path).close()
    t.equal(eventsIn(path), 2)

    const kept = join(scratch(t), 'kept')
    execFileSync('mv', [keptIn, kept])
    t.match(restore(path, join(kept, 'relay.db')), { events: 5, replaced: { missing: 0 } })
    open(path).close()
    t.equal(eventsIn(path), 5)
    t.equal(eventsIn(copy), 2, 'the backup is as it was')
  })
}

t.test('a copy with its WAL is restored with it, and without it only on demand', async (t) => {
  const { path } = await outboxWithBackup(t, false)
  const copy = join(scratch(t), 'copy.db')
  for (const suffix of ['', '-wal']) execFileSync('cp', [`${path}${suffix}`, `${copy}${suffix}`])
  const target = join(scratch(t), 'new', 'relay.db')
  t.match(restore(target, copy), { events: 5, replaced: null, keptIn: null })
  open(target).close()
  rmSync(`${copy}-wal`)
  t.throws(() => restore(target, copy), { code: 'outbox_unusable', message: /WAL of the outbox .*copy\.db .*missing/ })
  const { incompleteSince, events } = restore(target, copy, true)
  t.equal(events, 0)
  t.ok(incompleteSince! > 1_000_000_000_000)
  open(target).close()
})

t.test('outboxes that are replaced within a second are both kept', async (t) => {
  const { path, copy } = await outboxWithBackup(t, true)
  const first = restore(path, copy).keptIn
  t.equal(restore(path, copy).keptIn, `${first}-2`)
  t.equal(eventsIn(join(first!, 'relay.db')), 5)
})

t.test('a restore that was cut off after it had moved the outbox away says where that is', async (t) => {
  const { path, copy } = await outboxWithBackup(t, true)
  const { keptIn } = restore(path, copy)
  rmSync(path)
  t.throws(() => open(path), { code: 'outbox_unusable', message: new RegExp(`${keptIn}.*restore FILE`) })
  restore(path, join(keptIn!, 'relay.db'))
  t.equal(eventsIn(path), 5)
})

t.test('an outbox that has lost its WAL goes on without it on demand', async (t) => {
  const { path } = await outboxWithBackup(t, false)
  rmSync(`${path}-wal`)
  t.throws(() => open(path), { code: 'outbox_unusable' })
  const { replaced, incompleteSince } = restore(path, null, true)
  t.match(replaced, { problem: /missing/ })
  t.ok(incompleteSince! > 1_000_000_000_000)
  open(path).close()
})

t.test('a backup that was copied over a running outbox is restored properly, and the WAL is kept', async (t) => {
  const directory = scratch(t)
  const path = join(directory, 'relay.db')
  const outbox = open(path)
  outbox.record(1_000, 2_000)
  const copy = await backup(path, join(scratch(t), 'backup.db'))
  outbox.record(3_000)
  execFileSync('cp', [copy, path])
  t.throws(() => outbox.assertInPlace(), { code: 'outbox_failed', message: /overwritten.*restore FILE/ })
  outbox.abandon()
  const wal = readFileSync(`${path}-wal`)
  const { replaced, keptIn } = restore(path, copy)
  t.match(replaced, { problem: /another outbox/ })
  t.ok(readFileSync(join(keptIn!, 'relay.db-wal')).equals(wal))
  open(path).close()
  t.equal(eventsIn(path), 2)
})

t.test('nothing is restored while a relay runs on the outbox, whatever path leads to it', async (t) => {
  const { directory, path, copy } = await outboxWithBackup(t, true)
  const outbox = open(path)
  const locked = { code: 'outbox_locked' }
  symlinkSync(directory, join(scratch(t), 'link'))
  const other = scratch(t)
  symlinkSync(path, join(other, 'file.db'))
  symlinkSync(directory, join(other, 'directory'))
  for (const target of [path, join(other, 'file.db'), join(other, 'directory', 'relay.db')]) {
    t.throws(() => restore(target, copy), locked, target)
  }
  t.throws(() => restore(join(other, 'mine.db'), path), { ...locked, message: /make a copy of it by/ })
  if (existsSync('/proc/self/stat')) {
    outbox.database.prepare('update daemon_instance set process = ?').run(parentProcess())
    outbox.database.pragma('wal_checkpoint(passive)')
    outbox.abandon()
    const elsewhere = join(scratch(t), 'relay.db')
    linkSync(path, elsewhere)
    writeFileSync(lockFileOf(elsewhere), '')
    t.throws(() => restore(elsewhere, copy), { ...locked, message: /its lock is free/ }, 'a hard link with a lock')
    rmSync(elsewhere)
    execFileSync('cp', [path, elsewhere])
    restore(elsewhere, copy)
    t.equal(eventsIn(elsewhere), 2, 'a copy of its file is not open')
    rmSync(lockFileOf(path))
    t.throws(() => restore(path, copy), { ...locked, message: /its lock is free/ }, 'the lock file is removed')
  } else outbox.abandon()
  t.equal(eventsIn(path), 5)
})

t.test('what is not a whole, sound outbox is not restored, and leaves nothing behind', async (t) => {
  const { directory, path, copy } = await outboxWithBackup(t, true)
  const place = scratch(t)
  const file = (name: string, make: (path: string) => unknown) => {
    make(join(place, name))
    return join(place, name)
  }
  const damaged = (to: string) => {
    const bytes = readFileSync(copy)
    writeFileSync(to, bytes.fill(0xee, Math.floor(bytes.length / 8_192) * 4_096).subarray(0, bytes.length))
  }
  const other = (to: string) => execFileSync('sqlite3', [to, 'create table x (y)'])
  const newer = (to: string) => {
    execFileSync('cp', [copy, to])
    execFileSync('sqlite3', [to, 'pragma user_version = 999'])
  }
  const withJournal = (to: string) => {
    execFileSync('cp', [copy, to])
    writeFileSync(`${to}-journal`, 'x')
  }
  const refused: [string, RegExp][] = [
    [join(place, 'nowhere.db'), /there is no file/],
    [file('text.db', (to) => writeFileSync(to, 'x'.repeat(5_000))), /not an SQLite database/],
    [file('empty.db', (to) => writeFileSync(to, '')), /not an SQLite database/],
    [file('damaged.db', damaged), /damaged|cannot be read/],
    [file('other.db', other), /not an outbox/],
    [file('newer.db', newer), /newer version/],
    [file('journal.db', withJournal), /rollback journal/],
    [file('directory', (to) => mkdirSync(to)), /not a regular file/],
    [path, /is the outbox itself/],
  ]
  for (const [from, message] of refused) t.throws(() => restore(path, from), { message }, from)
  const given = prepareRestore(path, copy, WITH_WAL)
  given.close()
  t.same(readdirSync(directory).sort(), ['.relay.db.lock', 'relay.db'])
  t.equal(eventsIn(path), 5)
})
