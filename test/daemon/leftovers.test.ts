import { once } from 'node:events'
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { partialName } from '../../src/partial-file.ts'
import { eventually } from '../eventually.ts'
import { scratch } from '../scratch.ts'
import { spawnRelay, startRelay, writeConfig } from './relay-process.ts'
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

t.test('what a killed backup left is removed by the next start, or the next backup, and reported', async (t) => {
  const { directory, config } = await withOutbox(t, BALLAST_BYTES)
  const backups = join(directory, 'backups')
  mkdirSync(backups)
  const killed = await killedBackup(config, directory, backups)
  // As a killed rotation would.
  const torn = join(directory, dead(partialName()))
  const living = join(backups, partialName())
  const foreign = join(backups, partialName().replace(/-\d+-\d+-\d+-\d+\.partial$/, '-1-7-42-1.partial'))
  for (const path of [torn, living, foreign]) writeFileSync(path, 'whsec_')

  const relay = await startRelay(t, config)
  const removed = relay.log.filter(({ msg }) => msg === 'partial file of a killed process removed')
  t.same(removed.map(({ file }) => file).sort(), [killed, torn].sort())
  t.same(
    readdirSync(directory).filter((name) => name.startsWith('.') && name !== '.relay.db.lock'),
    [],
    'nor is a note left',
  )
  await relay.end('SIGTERM')

  const again = join(backups, dead(partialName()))
  writeFileSync(again, 'part of an outbox')
  const next = await runCommand(['backup', join(backups, 'next.db'), '--config', config], directory)
  t.match(next, { code: 0, stderr: `removed ${again}, the part of a backup that was killed\n` })
  t.same(
    readdirSync(backups)
      .map((name) => join(backups, name))
      .sort(),
    [foreign, living, join(backups, 'next.db')].sort(),
  )
})

/** The name that a process of this number would give that has ended. */
function dead(name: string): string {
  return name.replace(/-\d+-(\d+)\.partial$/, '-1-$1.partial')
}
