import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { SCHEMA } from '../../src/outbox/sqlite/migrate.ts'
import { createOlderOutbox, makeNewer, schemaIn } from '../outbox/other-schema.ts'
import { scratch } from '../scratch.ts'
import { commandsIn, fill, sink, sources } from './operator-commands.ts'
import { runRelay, startRelay, writeConfig } from './relay-process.ts'
import { bodyOf, send } from './ultravox-sender.ts'

const CONFIG = { sources, targets: { crm: sink }, routes: [{ events: ['*'], to: ['crm'] }] }

const READS = [
  'status',
  'tail',
  'events list',
  'events gaps',
  'events show evt_old',
  'calls show call-1',
  'deliveries list',
  'deliveries show 1',
  'rejections list',
  'targets list',
  'clock show',
  'prune --older-than 1d --dry-run',
  'erase --call call-1 --dry-run',
  'doctor',
]
/** Those that need nothing but what every schema has. */
const ALWAYS_READ = ['events list', 'deliveries list', 'rejections list', 'targets list']
const WRITES = [
  'deliveries retry 1 --yes',
  'deliveries cancel 1 --yes',
  'events replay evt_old --yes',
  'targets pause crm',
  'targets resume crm',
  'rejections clear --until 7d --yes',
  'prune --older-than 1d --yes',
  'prune --older-than 36500d --vacuum --yes',
  'erase --call call-1 --cancel --yes',
  'reload',
]
const EXPLAINED =
  /schema \d+, and this program (needs|writes) \d+: (start|restart) the relay|newer version of the relay|no relay is running/

t.test('no command changes an outbox of another schema, and each that fails says what to do', async (t) => {
  const older = [3, SCHEMA - 1].map((schema) => ({
    schema,
    make: (path: string) => createOlderOutbox(path, schema),
  }))
  const newer = {
    schema: SCHEMA + 1,
    async make(path: string) {
      await fill(join(path, '..'), [{}], ['crm'], 'dead')
      makeNewer(path)
    },
  }
  for (const { schema, make } of [...older, newer]) {
    const directory = scratch(t)
    const path = join(directory, 'relay.db')
    const { run } = commandsIn(directory)
    writeConfig(directory, CONFIG)
    await make(path)
    for (const line of [...READS, ...WRITES]) {
      const { code, stdout, stderr } = await run(line)
      const printed = `${stdout}${stderr}`
      const isRefused = code !== 0 && line !== 'doctor'
      t.notMatch(printed, /no such|SQLITE_|\n +at /, `${line} on schema ${schema}`)
      if (isRefused) t.match(stderr, EXPLAINED, `${line} on schema ${schema}`)
      if (schema === SCHEMA - 1 && ALWAYS_READ.includes(line)) t.notOk(isRefused, `${line} reads the schema before`)
      if (schema > SCHEMA) t.ok(code !== 0, `${line} does not read a newer one`)
      t.equal(schemaIn(path), schema, line)
    }
    t.match(await run('backup copy.db'), { code: 0 })
    t.equal(schemaIn(join(directory, 'copy.db')), schema, 'the backup is of that schema')
  }
})

/** Makes this program one with one more migration; returns how it is started. */
function newerProgram(t: Test): (cwd: string, line: string) => ChildProcess {
  const root = scratch(t)
  const ours = fileURLToPath(new URL('../../src', import.meta.url))
  cpSync(ours, join(root, 'build', 'src'), { recursive: true })
  cpSync('package.json', join(root, 'package.json'))
  symlinkSync(resolve('node_modules'), join(root, 'node_modules'))
  const sql = 'create table tomorrow (x integer) strict;'
  writeFileSync(join(root, 'build/src/outbox/sqlite/migrations/999-tomorrow.sql'), sql)
  const main = join(root, 'build', 'src', 'cli', 'main.js')
  const { PATH, HOME } = process.env
  return (cwd, line) => {
    const env = ['-i', `PATH=${PATH}`, `HOME=${HOME}`]
    return spawn('/usr/bin/env', [...env, process.execPath, main, ...line.split(' ')], { cwd })
  }
}

async function finished(child: ChildProcess): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const [stdout, stderr] = [text(child.stdout!), text(child.stderr!)]
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, stdout: await stdout, stderr: await stderr }
}

t.test('commands of a newer program leave the outbox of a running relay as it is', async (t) => {
  const directory = scratch(t)
  const path = join(directory, 'relay.db')
  const start = newerProgram(t)
  const newer = (line: string) => finished(start(directory, line))
  const { run, target } = commandsIn(directory)
  const relay = await startRelay(t, writeConfig(directory, CONFIG))
  const hook = `${relay.origin}/webhooks/ultravox`
  t.equal((await send(hook, bodyOf('call.ended', 'before'))).status, 204)
  const restart = {
    code: 1,
    stderr: new RegExp(`schema ${SCHEMA}, and this program needs ${SCHEMA + 1}: restart the relay`),
  }
  const [status, pause, reload, backup] = await Promise.all(
    ['status', 'targets pause crm', 'reload', 'backup new.db --json'].map(newer),
  )
  t.match(status, { code: 0, stdout: /schema \d+, and this program writes \d+: restart the relay/ })
  t.match(pause, restart)
  t.match(reload, restart)
  t.match(backup, { code: 0, stdout: /"events": 1/ })
  t.equal(schemaIn(path), SCHEMA)
  t.equal((await send(hook, bodyOf('call.ended', 'after'))).status, 204, 'the relay goes on')
  t.match(await run('status --json'), { code: 0, stdout: /"events": 2/ }, 'and its own commands')
  await relay.end('SIGTERM')
  t.match(await newer('targets pause crm'), { code: 1, stderr: /needs \d+: start the relay first/ })
  t.equal(schemaIn(path), SCHEMA)
  t.match(await target('crm'), { pausedByCommand: false })

  const upgraded = start(directory, 'serve')
  t.teardown(() => upgraded.kill('SIGKILL'))
  const ended = finished(upgraded)
  for await (const line of createInterface(upgraded.stdout!)) if (line.includes('"relay started"')) break
  t.equal(schemaIn(path), SCHEMA + 1, 'its relay migrates')
  const refused = { code: 1, stderr: /newer version of the relay \(schema \d+, this program knows \d+\)/ }
  t.match(await run('status'), refused)
  t.match(await run('targets pause crm'), refused)
  t.match(await run('backup old.db'), { code: 0 })
  t.equal(schemaIn(join(directory, 'old.db')), SCHEMA + 1)
  upgraded.kill('SIGTERM')
  t.match(await ended, { code: 0 })
  t.match(await runRelay(['serve'], directory), refused, 'nor does a relay of before start')
})
