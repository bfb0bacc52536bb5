import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { sink, sources } from '../daemon/operator-commands.ts'
import { startRelay, writeConfig } from '../daemon/relay-process.ts'
import { bodyOf, send } from '../daemon/ultravox-sender.ts'
import { eventually } from '../eventually.ts'
import { scratch } from '../scratch.ts'
import { noReceiver, type Received, receiveAt } from './notify-receiver.ts'

const skip = noReceiver
const routes = [{ events: ['*'], to: ['archive', 'spare'] }]
const config = { sources, targets: { archive: sink, spare: sink }, routes }

/** A relay as systemd would start it, with a receiver at this address. */
async function startNotifying(t: Test, address: (directory: string) => string, env: NodeJS.ProcessEnv = {}) {
  const directory = scratch(t)
  const received = await receiveAt(t, address(directory))
  const relay = await startRelay(t, writeConfig(directory, config), { NOTIFY_SOCKET: address(directory), ...env })
  const seen = (wanted: string) => received.filter(({ lines }) => lines.some((line) => line.startsWith(wanted)))
  const until = (wanted: string, times = 1) =>
    eventually(() => seen(wanted).length >= times, `${wanted} ${times} times`)
  return { directory, relay, received, seen, until }
}

const inDirectory = (directory: string) => join(directory, 'notify')
const states = (received: readonly Received[]) =>
  received.flatMap(({ lines }) => lines.filter((line) => /^(READY|RELOADING|STOPPING)=/.test(line)))

t.test('systemd is told of the start, of reloads and of the end, in this order', { skip }, async (t) => {
  const { directory, relay, received, seen, until } = await startNotifying(t, inDirectory)
  await until('STATUS=')
  t.match(seen('STATUS=')[0]!.lines, [`STATUS=listening on ${new URL(relay.origin).host}; 2 targets, 0 dead, 0 due`])

  const before = process.hrtime.bigint() / 1_000n
  relay.process.kill('SIGHUP')
  await until('READY=1', 2)
  const [reloading] = seen('RELOADING=1')
  const usec = BigInt(reloading!.lines.find((line) => line.startsWith('MONOTONIC_USEC='))!.split('=')[1]!)
  t.ok(
    usec >= before && usec <= BigInt(reloading!.usec),
    'in the same message: when, by the clock that systemd goes by',
  )

  writeFileSync(join(directory, 'relay.yaml'), 'sources: {')
  relay.process.kill('SIGHUP')
  await eventually(() => seen('STATUS=').some(({ lines }) => /refused/.test(lines.join())), 'a refused reload is shown')
  writeConfig(directory, config)
  relay.process.kill('SIGHUP')
  await eventually(() => /due$/.test(seen('STATUS=').at(-1)!.lines.join()), 'and no more once it was mended')

  t.equal((await relay.end('SIGTERM')).code, 0)
  await until('STOPPING=1')
  const reload = ['RELOADING=1', 'READY=1']
  t.same(states(received), ['READY=1', ...reload, ...reload, ...reload, 'STOPPING=1'])
  t.same(seen('WATCHDOG='), [], 'no sign of life that nobody asked for')
})

t.test('an abstract address is as good, and signs of life come while the relay works', { skip }, async (t) => {
  const env = { WATCHDOG_USEC: '200000' }
  const { relay, until } = await startNotifying(t, () => `@relay-test-${process.pid}`, env)
  await until('WATCHDOG=1', 3)
  t.equal((await relay.end('SIGTERM')).code, 0)
  await until('STOPPING=1')
})

t.test('when the disk hangs, the signs of life end', { skip: skip || noStrace() }, async (t) => {
  const { relay, seen, until } = await startNotifying(t, inDirectory, { WATCHDOG_USEC: '400000' })
  await until('WATCHDOG=1')
  const pid = String(relay.process.pid)
  const strace = spawn('strace', ['-f', '-qq', '-p', pid, '-e', 'fsync', '-e', 'inject=fsync:delay_enter=60000000'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  t.teardown(() => strace.kill('SIGKILL'))
  const attached = () => spawnSync('grep', ['-L', 'TracerPid:\t0', `/proc/${pid}/status`]).stdout.length > 0
  await eventually(attached, 'strace is attached')

  const answered = send(`${relay.origin}/webhooks/ultravox`, bodyOf('call.ended')).catch(() => 'none')
  const stuck = () => relay.log.filter(({ msg }) => msg === 'no sign of life for systemd').length
  // The last sign of life before may be on its way still.
  await eventually(() => stuck() > 2, 'the relay notices')
  const signs = seen('WATCHDOG=1').length
  await eventually(() => stuck() > 4, 'and goes on noticing')
  t.equal(seen('WATCHDOG=1').length, signs, 'meanwhile there was no sign of life')
  t.match(relay.log.findLast(({ level }) => level === 'error')!.problem, /^the outbox has not answered for 0\.2 s$/)
  strace.kill('SIGKILL')
  await once(strace, 'exit')
  await relay.end('SIGKILL')
  await answered
})

t.test('a systemd that cannot be told is no reason to end', async (t) => {
  const directory = scratch(t)
  const nowhere = { type: 'http', url: 'http://127.0.0.1:1' }
  const file = writeConfig(directory, { ...config, targets: { archive: nowhere, spare: nowhere } })
  const relay = await startRelay(t, file, { NOTIFY_SOCKET: join(directory, 'none'), PATH: '' })
  await eventually(() => relay.log.some(({ msg }) => msg === 'systemd not notified'), 'it is said')
  t.match(
    relay.log.find(({ msg }) => msg === 'systemd not notified'),
    {
      level: 'warn',
      problem: 'there is no program systemd-notify in the PATH',
    },
  )
  t.equal((await relay.end('SIGTERM')).code, 0)
})

function noStrace(): string | false {
  return spawnSync('strace', ['-V']).error !== undefined && 'strace is not installed'
}
