import { execFileSync } from 'node:child_process'
import { copyFileSync, linkSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { lockFileOf } from '../../src/outbox/lock-file.ts'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { SqliteOperator } from '../../src/outbox/sqlite/sqlite-operator.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { eventually } from '../eventually.ts'
import { scratch } from '../scratch.ts'
import { runningProcess } from './running-process.ts'
import { attemptAt, newEvent, to } from './samples.ts'

const fail = (error: Error) => t.fail(error.message)
const LINUX = 'needs /proc'

async function closedOutbox(t: Test): Promise<string> {
  const path = join(scratch(t), 'relay.db')
  await (await SqliteOutbox.open(path, fail)).close()
  return path
}

function change(path: string, sql: string, ...values: unknown[]): void {
  const database = openDatabase(path)
  database.prepare(sql).run(...values)
  database.close()
}

t.test('a daemon that has lost the outbox to another claims, settles and records nothing more', async (t) => {
  const path = join(scratch(t), 'relay.db')
  for (const act of ['record', 'claim', 'settle', 'nothing'] as const) {
    const told: { code: string }[] = []
    const outbox = await SqliteOutbox.open(path, (error) => told.push(error))
    await outbox.record(newEvent(), to('crm'))
    const [delivery] = (await outbox.claim('crm', 1, 5_000)).deliveries
    change(path, `update daemon_instance set instance_id = 'of another'`)
    const lost = { code: 'outbox_locked', message: /another relay has taken over/ }
    if (act === 'record') await t.rejects(outbox.record(newEvent(), to('crm')), lost)
    if (act === 'claim') await t.rejects(outbox.claim('crm', 9, 5_000), lost)
    if (act === 'settle') {
      await t.rejects(outbox.settle(delivery!, attemptAt(delivery!, 'delivered'), { state: 'delivered' }), lost)
    }
    await eventually(() => told.length > 0, `it is told, having done ${act}`)
    t.match(told, [lost])
    await outbox.close()
  }
  const operator = SqliteOperator.open(path)
  t.equal((await operator.findDeliveries({ states: ['pending'] })).length, 4, 'all are left for the other')
  await operator.close()
})

/** Ways to lose a lock file. */
const LOSSES: Readonly<Record<string, (lock: string) => void>> = {
  removed: (lock) => rmSync(lock),
  'replaced by a copy': (lock) => {
    copyFileSync(lock, `${lock}.copy`)
    renameSync(`${lock}.copy`, lock)
  },
}

for (const [how, lose] of Object.entries(LOSSES)) {
  t.test(`a lock file that is ${how} is noticed, and the outbox works on until it is closed`, async (t) => {
    const path = join(scratch(t), 'relay.db')
    const told: { code: string }[] = []
    const outbox = await SqliteOutbox.open(path, fail, { onEvicted: (error) => told.push(error) })
    lose(lockFileOf(path))
    await eventually(() => told.length > 0, 'it is told')
    t.match(told, [{ code: 'outbox_locked', message: /lock file .* was removed or replaced/ }])
    t.equal((await outbox.record(newEvent(), [])).duplicate, false)
    await outbox.close()
    const next = await SqliteOutbox.open(path, fail)
    await next.close()
  })
}

t.test('a lock that is free though its process runs is not believed', async (t) => {
  const path = await closedOutbox(t)
  if (!existsProc()) return t.plan(0, LINUX)
  const { child, identity } = runningProcess(t)
  change(path, 'update daemon_instance set ended = 0, process = ?', identity)
  await t.rejects(SqliteOutbox.open(path, fail), { code: 'outbox_locked', message: /though its lock is free: move/ })
  child.kill('SIGKILL')
  await eventually(() => child.signalCode !== null, 'that process has ended')
  const outbox = await SqliteOutbox.open(path, fail)
  await outbox.close()
})

t.test('a daemon that has crashed and lost its lock file is not waited for', async (t) => {
  const path = await closedOutbox(t)
  if (!existsProc()) return t.plan(0, LINUX)
  const { child, identity } = runningProcess(t)
  change(path, `update daemon_instance set ended = 0, process = ?, lock_file = '0:0'`, identity)
  const opening = SqliteOutbox.open(path, fail)
  child.kill('SIGKILL')
  await (await opening).close()
})

t.test('a copy of an outbox on which a daemon runs is opened at once', async (t) => {
  const path = await closedOutbox(t)
  if (!existsProc()) return t.plan(0, LINUX)
  const { identity } = runningProcess(t)
  change(path, `update daemon_instance set ended = 0, process = ?, lock_file = '0:0', database_file = '0:1'`, identity)
  await (await SqliteOutbox.open(path, fail)).close()
})

t.test('an outbox is refused under a second name, by the daemon and by commands', async (t) => {
  const directory = scratch(t)
  const path = join(directory, 'relay.db')
  const outbox = await SqliteOutbox.open(path, fail)
  await outbox.record(newEvent(), to('crm'))
  const link = join(directory, 'other.db')
  linkSync(path, link)
  const problem = { code: 'outbox_unusable', message: /other\.db is one of 2 names of a file \(hard links\)/ }
  await t.rejects(SqliteOutbox.open(link, fail), problem)
  t.throws(() => SqliteOperator.open(link), problem)
  t.notOk(statSync(`${link}-wal`, { throwIfNoEntry: false }), 'no second WAL is made')
  t.notOk(statSync(lockFileOf(link), { throwIfNoEntry: false }), 'nor a lock file')
  linkSync(lockFileOf(path), lockFileOf(link))
  await t.rejects(SqliteOutbox.open(link, fail), problem)
  t.equal((await outbox.record(newEvent(), to('crm'))).duplicate, false, 'the one that runs goes on')
  rmSync(lockFileOf(link))
  await outbox.close()
  await (await SqliteOutbox.open(path, fail)).close()
})

t.test(
  'an outbox that is mounted as a single file is refused; its directory under another path has the same lock',
  async (t) => {
    const directory = scratch(t)
    const path = join(directory, 'data', 'relay.db')
    const outbox = await SqliteOutbox.open(path, fail)
    t.teardown(() => outbox.close())
    const [file, other] = [join(directory, 'a file.db'), join(directory, 'other')]
    writeFileSync(file, '')
    mkdirSync(other)
    try {
      execFileSync('mount', ['--bind', path, file], { stdio: 'pipe' })
    } catch {
      return t.plan(0, 'binding a file needs root')
    }
    // Lazily: SQLite closes its descriptors of a file late while another connection of the process has it locked.
    t.teardown(() => execFileSync('umount', ['--lazy', file]))
    execFileSync('mount', ['--bind', join(directory, 'data'), other], { stdio: 'pipe' })
    t.teardown(() => execFileSync('umount', ['--lazy', other]))
    await t.rejects(SqliteOutbox.open(file, fail), { code: 'outbox_unusable', message: /mounted as a single file/ })
    await t.rejects(SqliteOutbox.open(join(other, 'relay.db'), fail), { code: 'outbox_locked' })
  },
)

function existsProc(): boolean {
  return statSync('/proc/self/ns/pid', { throwIfNoEntry: false }) !== undefined
}
