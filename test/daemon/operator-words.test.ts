import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { eventually } from '../eventually.ts'
import { httpServer } from '../local-server.ts'
import { scratch } from '../scratch.ts'
import { commandsIn, fill, type Row, sources } from './operator-commands.ts'
import { MAIN, startRelay, writeConfig } from './relay-process.ts'

t.test('an attempt under way is shown as being sent, and a duplicate trigger as one', async (t) => {
  const directory = scratch(t)
  const { run, deliveries } = commandsIn(directory)
  const { origin, received } = await httpServer(t, () => {})
  const targets = { crm: { type: 'http', url: origin } }
  const file = writeConfig(directory, { sources, targets, routes: [{ events: ['*'], to: ['crm'] }] })
  const relay = await startRelay(t, file)
  const taken = join(directory, 'taken.yaml')
  writeFileSync(taken, readFileSync(file, 'utf8').replace('127.0.0.1:0', new URL(relay.origin).host))
  const trigger = 'trigger call.ended --call-id my-call --config taken.yaml'
  t.match(await run(trigger), { code: 0, stdout: /: 204 accepted\n$/ })
  await eventually(() => received.length === 1, 'it is being sent')
  const [{ deliveryId, eventId }] = (await deliveries()) as [Row]
  t.match(await run(`deliveries show ${deliveryId}`), { stdout: /to crm, being sent since \d+/ })
  t.match(await run(`events show ${eventId}`), { stdout: /crm +being sent since \d+/ })
  t.match(await run('calls show my-call'), { stdout: /crm: being sent since \d+/ })
  t.match(await run(trigger), { code: 1, stdout: new RegExp(`: 204 duplicate of ${eventId}, not recorded again\n$`) })
  await relay.end('SIGKILL')
  t.match(
    await run(`deliveries show ${deliveryId}`),
    { stdout: /to crm, pending/ },
    'nothing is sent by a relay that is gone',
  )
})

t.test('an interrupted replay says how far it has come, and its command does the rest', async (t) => {
  const directory = scratch(t)
  const { run, target } = commandsIn(directory)
  const targets = { crm: { type: 'exec', command: ['cat'], paused: true } }
  writeConfig(directory, { sources, targets, routes: [{ events: ['*'], to: ['crm'] }] })
  const count = 6_000
  await fill(
    directory,
    Array.from({ length: count }, () => ({})),
    [],
  )
  const args = [MAIN, 'events', 'replay', '--to', 'crm', '--event', '*', '--yes']
  const child = spawn(process.execPath, args, { cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] })
  let stderr = ''
  child.stderr.on('data', (chunk) => {
    stderr += chunk
  })
  const ended = once(child, 'close')
  await eventually(async () => (await target('crm'))!.pending !== 0, 'it has begun')
  child.kill('SIGINT')
  t.same(await ended, [130, null], stderr)
  const [, worked, rest] = /interrupted: (\d+) of 6000 events replayed; go on with:\nultravox-relay (.+)\n$/.exec(
    stderr,
  )!
  t.ok(Number(worked) > 0 && Number(worked) < count, `${worked} of ${count}`)
  t.match(await target('crm'), { pending: Number(worked) })
  t.match(rest, /^events replay --to crm --event '\*' --yes --after evt_\S+ --until \S+Z$/)
  const done = await run(rest!.replaceAll("'", ''))
  t.match(done, { code: 0, stdout: new RegExp(`^${count - Number(worked)} events replayed`) })
  t.match(await target('crm'), { pending: count })
})
