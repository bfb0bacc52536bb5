import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { eventually } from '../eventually.ts'
import { hungMount } from '../hung-mount.ts'
import { httpServer } from '../local-server.ts'
import { scratch } from '../scratch.ts'
import { type LogLine, MAIN, type RelayProcess, runRelay, startRelay, writeConfig } from './relay-process.ts'
import { runCommand } from './run-command.ts'
import { bodyOf, SECRET, send } from './ultravox-sender.ts'

const ownNamespace = { skip: canUnshare() ? false : 'needs root and unshare' }
const sources = { ultravox: { scheme: 'ultravox', secrets: [SECRET] } }

async function running(t: Test) {
  const directory = scratch(t)
  const sink = await httpServer(t, (response) => response.end())
  const to = (path: string, more = {}) => ({ type: 'http', url: `${sink.origin}/${path}`, ...more })
  const write = (config: Record<string, unknown>) => writeConfig(directory, { sources, ...config })
  const file = write({ targets: { crm: to('old') }, routes: [{ events: ['*'], to: ['crm'] }] })
  const relay = await startRelay(t, file)
  const post = (options = {}) => send(`${relay.origin}/webhooks/ultravox`, bodyOf('call.ended'), options)
  const reload = (...args: string[]) => runCommand(['reload', '--config', file, ...args], directory)
  const arrived = (path: string) => sink.received.filter(({ url }) => url === `/${path}`).length
  return { directory, file, relay, to, write, post, reload, arrived }
}

/** The n-th line of the log with a message: a command may have its answer before the line has come through the pipe. */
async function logged(relay: RelayProcess, message: string, count = 1): Promise<LogLine> {
  const lines = () => relay.log.filter(({ msg }) => msg === message)
  await eventually(() => lines().length >= count, `logged ${count} times: ${message}`)
  return lines()[count - 1]!
}

t.test('a running relay', async (t) => {
  const { file, relay, to, write, post, reload, arrived } = await running(t)

  await t.test('an invalid one is told of, and the old one stays', async (t) => {
    writeFileSync(file, readFileSync(file, 'utf8').replace('url:', 'ulr:'))
    const refused = await reload()
    t.equal(refused.code, 2)
    t.match(refused.stderr, /ulr/)
    relay.process.kill('SIGHUP')
    await eventually(
      () => relay.log.some(({ msg }) => msg === 'configuration not reloaded, the old one stays'),
      'a bare signal is answered in the log',
    )
    t.equal((await post()).status, 204)
    await eventually(() => arrived('old') === 1, 'it goes on as before')
  })

  await t.test('a changed configuration is taken over, and what has changed is logged by name', async (t) => {
    const old = arrived('old')
    write({
      targets: { crm: to('new', { timeout: '3s' }), ops: to('ops') },
      routes: [{ events: ['call.*'], to: ['crm', 'ops'] }],
    })
    t.match(await reload(), { code: 0, stdout: `${file} is reloaded\n`, stderr: '' })
    t.match(await logged(relay, 'configuration reloaded'), {
      changed: ['targets.crm changed: url, timeout', 'targets.ops added', 'routes changed'],
    })
    t.equal((await post()).status, 204)
    await eventually(() => arrived('new') === 1 && arrived('ops') === 1, 'it goes where it is to go now')
    t.equal(arrived('old'), old)

    const again = JSON.parse((await reload('--json')).stdout)
    t.match(again, { configFile: file, reloadedAt: /^\d{4}-.*Z$/ })
    t.same((await logged(relay, 'configuration reloaded', 2)).changed, [])
  })

  await t.test('what takes a restart is said, and the rest is taken over', async (t) => {
    write({
      server: { listen: '127.0.0.1:1' },
      targets: { crm: to('newest') },
      routes: [{ events: ['*'], to: ['crm'] }],
    })
    t.equal((await reload()).code, 0)
    t.match(await logged(relay, 'changes that take a restart'), { keys: ['server.listen'] })
    t.equal((await post()).status, 204)
    await eventually(() => arrived('newest') === 1, 'the new target has it')
  })

  await t.test('without a running relay there is nothing to reload', async (t) => {
    await relay.end('SIGTERM')
    t.match(await reload(), { code: 4, stdout: '', stderr: /no relay is running/ })
  })
})

t.test('the relay itself refuses what only it can see to be wrong, and reload says so', async (t) => {
  const directory = scratch(t)
  const sink = await httpServer(t, (response) => response.end())
  const text = (secret: string) => ({
    sources: { ultravox: { scheme: 'ultravox', secrets: [secret] } },
    targets: { crm: { type: 'http', url: sink.origin } },
    routes: [{ events: ['*'], to: ['crm'] }],
  })
  const file = writeConfig(directory, text(SECRET))
  await startRelay(t, file)
  writeConfig(directory, text('$' + '{ONLY_HERE}'))
  const refused = await runRelay(['reload', '--config', file], directory, { ONLY_HERE: 'x'.repeat(20) })
  t.match(refused, { code: 2, stdout: '', stderr: /not reloaded, the old configuration stays:\n.*ONLY_HERE/ })
})

t.test('a secret that is replaced holds from the next request on', async (t) => {
  const directory = scratch(t)
  writeFileSync(join(directory, 'secret'), `${SECRET}\n`)
  const sink = await httpServer(t, (response) => response.end())
  const file = writeConfig(directory, {
    sources: { ultravox: { scheme: 'ultravox', secrets: ['$' + '{file:./secret}'] } },
    targets: { crm: { type: 'http', url: sink.origin } },
    routes: [{ events: ['*'], to: ['crm'] }],
  })
  const relay = await startRelay(t, file)
  const post = (secret: string) => send(`${relay.origin}/webhooks/ultravox`, bodyOf('call.ended'), { secret })
  t.equal((await post(SECRET)).status, 204)
  writeFileSync(join(directory, 'secret'), 'whsec_another_one_entirely\n')
  t.equal((await runCommand(['reload', '--config', file], directory)).code, 0)
  t.equal((await post(SECRET)).status, 401)
  t.equal((await post('whsec_another_one_entirely')).status, 204)
})

t.test('an attempt under way ends under the old configuration, and its retry goes by the new one', async (t) => {
  const directory = scratch(t)
  const pending: (() => void)[] = []
  const sink = await httpServer(t, (response, { url }) => {
    if (url !== '/slow') return response.end()
    pending.push(() => response.writeHead(500).end())
  })
  const write = (path: string) =>
    writeConfig(directory, {
      sources,
      targets: { crm: { type: 'http', url: `${sink.origin}/${path}`, retry: { initialDelay: '50ms' } } },
      routes: [{ events: ['*'], to: ['crm'] }],
    })
  const file = write('slow')
  const relay = await startRelay(t, file)
  await send(`${relay.origin}/webhooks/ultravox`, bodyOf('call.ended'))
  await eventually(() => pending.length === 1, 'it is under way')
  write('fast')
  t.equal((await runCommand(['reload', '--config', file], directory)).code, 0)
  pending[0]!()
  await eventually(() => sink.received.some(({ url }) => url === '/fast'), 'tried again at the new address')
})

t.test(
  'a relay in a pid namespace of its own is reloaded, and no other process is signalled',
  ownNamespace,
  async (t) => {
    const directory = scratch(t)
    const sink = await httpServer(t, (response) => response.end())
    const write = (path: string) =>
      writeConfig(directory, {
        sources,
        targets: { crm: { type: 'http', url: `${sink.origin}/${path}` } },
        routes: [{ events: ['*'], to: ['crm'] }],
      })
    const file = write('old')
    const relay = spawn('unshare', ['--pid', '--fork', process.execPath, MAIN, 'serve', '--config', file], {
      env: { PATH: process.env.PATH },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const ended = once(relay, 'close')
    t.teardown(async () => {
      // The relay is the first process of its namespace, where a signal from here has the effect that it handles.
      relay.stdout.resume()
      const [inside] = readFileSync(`/proc/${relay.pid}/task/${relay.pid}/children`, 'utf8').trim().split(' ')
      process.kill(Number(inside), 'SIGKILL')
      await ended
    })
    const lines = createInterface(relay.stdout)
    await new Promise<void>((resolve) => lines.on('line', (line) => line.includes('relay started') && resolve()))

    // Its state names a process id of its namespace. Here that is whatever process, or none.
    const bystander = spawn('sleep', ['60'])
    const signalled = once(bystander, 'exit')
    t.teardown(() => bystander.kill('SIGKILL'))
    const database = openDatabase(join(directory, 'relay.db'))
    t.ok((database.prepare('select pid from daemon_state').pluck().get() as number) < 100)
    database.prepare('update daemon_state set pid = ?').run(bystander.pid)
    database.close()

    write('new')
    const { code, stdout } = await runCommand(['reload', '--config', file], directory)
    t.match({ code, stdout }, { code: 0, stdout: `${file} is reloaded\n` })
    t.equal(bystander.exitCode ?? bystander.signalCode, null, 'SIGHUP would have ended it')
    bystander.kill('SIGTERM')
    t.same(await signalled, [null, 'SIGTERM'])
  },
)

t.test('several reloads at once are all answered', async (t) => {
  const { reload } = await running(t)
  const ends = await Promise.all([1, 2, 3].map(() => reload()))
  t.same(
    ends.map(({ code }) => code),
    [0, 0, 0],
  )
})

t.test('a request that no relay has answered is not carried out by the next', async (t) => {
  const { file, relay, reload } = await running(t)
  await relay.end('SIGKILL')
  const database = openDatabase(join(dirname(file), 'relay.db'))
  database.exec('insert into reload_requests (only_one, requested) values (1, 7)')
  database.close()
  const next = await startRelay(t, file)
  t.equal((await reload()).code, 0)
  await logged(next, 'configuration reloaded')
  t.equal(next.log.filter(({ msg }) => msg === 'configuration reloaded').length, 1)
})

/** Whether a process can be started in a pid namespace of its own. */
function canUnshare(): boolean {
  return process.getuid?.() === 0 && spawnSync('unshare', ['--pid', '--fork', 'true']).status === 0
}

t.test(
  'a relay whose secrets file does not answer serves, keeps its configuration, and stops when asked to',
  async (t) => {
    const mount = hungMount(t)
    if (mount === null) return t.plan(0, 'needs root and /dev/fuse')
    const directory = scratch(t)
    const socketPath = join(directory, 'admin.sock')
    const write = (source: object) =>
      writeConfig(directory, {
        sources: { ultravox: { scheme: 'ultravox', ...source } },
        targets: { crm: { type: 'exec', command: ['true'] } },
        routes: [{ events: ['*'], to: ['crm'] }],
        admin: { listen: `unix:${socketPath}` },
      })
    const file = write({ secrets: [SECRET] })
    const relay = await startRelay(t, file)
    write({ secretsFile: join(mount.directory, 'ultravox.secrets') })
    relay.process.kill('SIGHUP')
    const { pid } = relay.process
    const reading = () => {
      const ps = spawnSync('ps', ['-o', 'args=', '--ppid', String(pid)], { encoding: 'utf8' })
      return /reader-process/.test(ps.stdout)
    }
    await eventually(reading, 'it reads the configuration')
    relay.process.kill('SIGHUP')
    const post = () => send(`${relay.origin}/webhooks/ultravox`, bodyOf('call.ended'))
    t.equal((await post()).status, 204)
    t.equal(await adminStatus(socketPath, '/healthz'), 200)
    t.ok(reading(), 'all this while the file does not answer')
    const { code, stdout } = await relay.end('SIGTERM')
    t.equal(code, 0)
    t.match(stdout, /relay stopped/)
    t.notMatch(stdout, /configuration reloaded/)
  },
)

function adminStatus(socketPath: string, path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    get({ socketPath, path, headers: { host: 'localhost' } }, (response) => {
      response.resume()
      resolve(response.statusCode!)
    }).on('error', reject)
  })
}
