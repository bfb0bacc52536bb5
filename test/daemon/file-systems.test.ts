import { once } from 'node:events'
import { existsSync, lstatSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { partialName } from '../../src/partial-file.ts'
import { eventually } from '../eventually.ts'
import { faultyStorageProblem, type StorageFaults, withFaults } from '../faulty-storage.ts'
import { scratch } from '../scratch.ts'
import { runRelay, spawnRelay, startRelay, writeConfig } from './relay-process.ts'
import { runCommand } from './run-command.ts'
import { SECRET } from './ultravox-sender.ts'

const BALLAST_BYTES = 40 * 1024 * 1024

const sources = { ultravox: { scheme: 'ultravox', secrets: [SECRET] } }
const targets = { crm: { type: 'exec', command: ['true'] } }
const configured = (directory: string) =>
  writeConfig(directory, { sources, targets, routes: [{ events: ['*'], to: ['crm'] }] })

/** A directory with an outbox in it. */
async function withOutbox(t: Test, ballast = 0): Promise<{ directory: string; config: string; outbox: string }> {
  const directory = scratch(t)
  const outbox = join(directory, 'relay.db')
  await (await SqliteOutbox.open(outbox, () => {})).close()
  if (ballast > 0) {
    const database = openDatabase(outbox)
    database.exec('create table ballast (value)')
    database.prepare('insert into ballast values (zeroblob(?))').run(ballast)
    database.close()
  }
  return { directory, config: configured(directory), outbox }
}

t.test('a start on a file system that cannot hold an outbox names it, and what it cannot do', async (t) => {
  const skip = faultyStorageProblem()
  if (skip !== null) return t.plan(0, skip)
  const cases: [Omit<StorageFaults, 'under'>, RegExp][] = [
    [{ lock: 'ENOLCK' }, /does not support locks \(\w+ file system at \/.*local file system/],
    [{ lock: 'ENOSYS' }, /does not support locks \(\w+ file system at \/.*local file system/],
    [{ share: 'ENODEV' }, /cannot share a file's memory .*\(\w+ file system at \/.*local file system/],
    [{ create: 'EDQUOT' }, /quota .*\(\w+ file system at \//],
    [{ syncFile: 'EIO' }, /input\/output error of the device \(\w+ file system at \//],
  ]
  await Promise.all(
    cases.map(async ([faults, message]) => {
      const directory = scratch(t)
      const config = configured(directory)
      const ended = await startRelay(t, config, withFaults({ under: directory, ...faults })).then(
        () => 'started',
        (error: Error) => error.message,
      )
      t.match(ended, message, JSON.stringify(faults))
      t.notMatch(ended, /another relay|another program|\n +at /, JSON.stringify(faults))
    }),
  )
})

t.test('a backup in a directory that cannot be flushed is whole, and one on a failing disk says so', async (t) => {
  const skip = faultyStorageProblem()
  if (skip !== null) return t.plan(0, skip)
  const { directory, config } = await withOutbox(t)
  const shares = join(directory, 'shares')
  mkdirSync(shares)
  const backup = (name: string, faults: Omit<StorageFaults, 'under'>) =>
    runRelay(['backup', join(shares, name), '--config', config], directory, withFaults({ under: shares, ...faults }))
  const [unflushed, unshared, failing, unlocked] = await Promise.all([
    backup('unflushed', { syncDirectory: 'EINVAL' }),
    backup('unshared', { share: 'ENODEV', syncDirectory: 'EBADF' }),
    backup('failing', { syncDirectory: 'EIO' }),
    backup('unlocked', { lock: 'ENOLCK' }),
  ])
  t.match(unflushed, { code: 0, stderr: '', stdout: /unflushed: .* 0 events/ })
  t.match(unshared, { code: 0, stderr: '', stdout: /unshared: .* 0 events/ })
  t.match(failing, { code: 1, stderr: /failing may not survive a power cut: an input\/output error.*file system at/ })
  t.match(unlocked, { code: 1, stderr: /cannot write the backup: .*does not support locks \(.*write it to a local/ })
  t.notMatch(failing.stderr + unlocked.stderr, /\n +at |move the outbox/)
  t.same(readdirSync(shares).sort(), ['failing', 'unflushed', 'unshared'])
})

/** Starts a backup and kills it while it writes. Returns the path of what it leaves. */
async function killedBackup(config: string, directory: string, to: string): Promise<string> {
  const others = readdirSync(to)
  for (;;) {
    const target = join(to, 'killed.db')
    const child = spawnRelay(['backup', target, '--config', config, '--force'], {}, directory)
    const ended = once(child, 'exit')
    const partial = () => readdirSync(to).find((name) => name.endsWith('.partial') && !others.includes(name))
    await eventually(() => child.exitCode !== null || partial() !== undefined, 'the backup writes')
    const written = () => statSync(join(to, partial() ?? ''), { throwIfNoEntry: false })?.size ?? 0
    await eventually(() => child.exitCode !== null || written() > 0, 'the backup has written something')
    child.kill('SIGKILL')
    await ended
    if (partial() !== undefined) return join(to, partial()!)
  }
}

t.test('what a killed backup left is removed by the next one and by the next start, and reported', async (t) => {
  const { directory, config, outbox } = await withOutbox(t, BALLAST_BYTES)
  const backups = join(directory, 'backups')
  mkdirSync(backups)
  const first = await killedBackup(config, directory, backups)
  const living = join(backups, partialName())
  const foreign = join(backups, partialName().replace(/-\d+-\d+-\d+-\d+\.partial$/, '-1-7-42-1.partial'))
  for (const path of [living, foreign]) writeFileSync(path, 'of a backup that runs')

  const next = await runCommand(['backup', join(backups, 'next.db'), '--config', config], directory)
  t.equal(next.code, 0)
  t.match(next.stderr, `removed ${first}, the part of a backup that was killed`)
  t.notOk(existsSync(first))
  t.ok(existsSync(living), 'that of a living process stays')
  t.ok(existsSync(foreign), 'and that of a container whose processes cannot be seen')

  const second = await killedBackup(config, directory, backups)
  // As a killed rotation would.
  const torn = join(directory, partialName().replace(/-\d+-(\d+)\.partial$/, '-1-$1.partial'))
  writeFileSync(torn, 'whsec_')
  const relay = await startRelay(t, config)
  const removed = relay.log.filter(({ msg }) => msg === 'partial file of a killed process removed')
  t.same(removed.map(({ file }) => file).sort(), [second, torn].sort())
  t.notOk(existsSync(second) || existsSync(torn))
  t.same(
    readdirSync(directory).filter((name) => name.startsWith('.')),
    [],
    'nor is a note left',
  )
  await relay.end('SIGTERM')
  t.ok(lstatSync(outbox).isFile())
})
