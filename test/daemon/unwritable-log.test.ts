import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { parseExposition } from '../admin/exposition.ts'
import { eventually } from '../eventually.ts'
import { scratch } from '../scratch.ts'
import { MAIN, writeConfig } from './relay-process.ts'
import { bodyOf, SECRET, send } from './ultravox-sender.ts'

/** Part of each log line. */
const FILLING = 'x'.repeat(900)

interface UnheardRelay {
  readonly pid: number
  readonly shell: ChildProcess
  readonly directory: string
  /** Sends one event; resolves with the status that it is answered with. */
  post(n: number): Promise<number>
  metric(name: string): Promise<number>
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

/** Runs a line of shell in which `$relay` is the relay; its output is whatever the line makes it. */
async function startUnheard(t: Test, line: string, program: string[] = ['/bin/sh', '-c']): Promise<UnheardRelay> {
  const directory = scratch(t)
  const [port, adminPort] = [await freePort(), await freePort()]
  const config = writeConfig(directory, {
    server: { listen: `127.0.0.1:${port}`, shutdownTimeout: '1s' },
    admin: { listen: `127.0.0.1:${adminPort}` },
    sources: { ultravox: { scheme: 'ultravox', secrets: [SECRET] } },
    targets: { hook: { type: 'exec', command: ['/bin/sh', '-c', 'cat > /dev/null'] } },
    routes: [{ events: ['*'], to: ['hook'] }],
  })
  const command = `'${process.execPath}' '${MAIN}' serve --config '${config}'`
  const script = `relay() { /bin/sh -c 'echo $$ > pid; exec "$0" "$@"' ${command}; }\n${line}`
  const [file, ...args] = program
  const env = { PATH: process.env.PATH, HOME: process.env.HOME, TERM: 'xterm' }
  const shell = spawn(file!, [...args, script], { cwd: directory, env, stdio: ['pipe', 'ignore', 'ignore'] })
  const pid = () => Number(readFileSync(join(directory, 'pid'), 'utf8'))
  t.teardown(() => {
    shell.kill('SIGKILL')
    if (existsSync(join(directory, 'pid')) && isRunning(pid())) process.kill(pid(), 'SIGKILL')
  })
  const post = async (n: number) =>
    (await send(`http://127.0.0.1:${port}/webhooks/ultravox`, bodyOf('call.ended', `call-${n}-${FILLING}`))).status
  await eventually(
    () =>
      post(0).then(
        (status) => status === 204,
        () => false,
      ),
    'it takes events',
  )
  const metric = async (name: string) =>
    parseExposition(await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text()).value(name)!
  return { pid: pid(), shell, directory, post, metric }
}

function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

/** Log lines that could not be written. */
const DROPPED = 'ultravox_relay_log_lines_dropped_total'

/** It takes events, and ends when it is told to. */
async function assertServes(t: Test, relay: UnheardRelay, events: number): Promise<void> {
  for (let n = 1; n <= events; n++) t.equal(await relay.post(n), 204)
  process.kill(relay.pid, 'SIGTERM')
  await eventually(() => !isRunning(relay.pid), 'SIGTERM ends it', 15_000)
}

async function assertCounts(relay: UnheardRelay): Promise<void> {
  await eventually(async () => {
    await relay.post(0)
    return (await relay.metric(DROPPED)) > 0
  }, 'what is not logged is counted')
}

/** What cannot be written to at all. */
const BROKEN: Record<string, string> = {
  'a full device, as stderr is': 'relay > /dev/full 2>&1',
  'a pipe whose reader has ended, as that of stderr': 'relay 2>&1 | head -c 1',
  ...(process.env.ALL_CASES && {
    'a full device': 'relay > /dev/full',
    'a pipe whose reader has ended': 'relay | head -c 1',
  }),
}

for (const [what, line] of Object.entries(BROKEN)) {
  t.test(`a relay whose stdout is ${what} counts what it cannot log, serves, and ends in time`, async (t) => {
    const relay = await startUnheard(t, line)
    await assertCounts(relay)
    await assertServes(t, relay, 3)
  })
}

/** What takes some, or takes all and keeps none. */
const SILENT: Record<string, string> = {
  // Open for reading by the relay itself, so that it is never without a reader.
  'a pipe that is never read': 'mkfifo out; exec 3<>out; relay > out 2>&1',
  ...(process.env.ALL_CASES && {
    'a closed descriptor': 'relay >&- 2>&-',
    'a file in a directory that is gone': 'mkdir gone; exec > gone/log; rm -r gone; relay',
  }),
}

for (const [what, line] of Object.entries(SILENT)) {
  t.test(`a relay whose stdout is ${what} serves, and ends in time`, async (t) => {
    // Three times what a pipe holds.
    await assertServes(t, await startUnheard(t, line), 100)
  })
}

t.test('a relay whose terminal is closed counts what it cannot log, serves, and ends in time', async (t) => {
  if (spawnSync('script', ['--version']).status !== 0) return t.plan(0, 'making a terminal takes the program script')
  const line = 'trap "" HUP; relay; echo $? > status.new; mv status.new status'
  const relay = await startUnheard(t, line, ['script', '-qe', '/dev/null', '-c'])
  relay.shell.kill('SIGKILL')
  await once(relay.shell, 'exit')
  await assertCounts(relay)
  await assertServes(t, relay, 3)
  const status = join(relay.directory, 'status')
  await eventually(() => existsSync(status), 'its shell sees the end')
  t.equal(readFileSync(status, 'utf8'), '0\n')
})
