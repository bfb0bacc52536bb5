import { execFileSync, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { openSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { stringify } from 'yaml'
import { watchCertificate } from '../../src/certificate-watch.ts'
import { loadConfig } from '../../src/config/load.ts'
import { ConfigReader } from '../../src/config/reader.ts'
import { pack, unpack } from '../../src/config/reader-protocol.ts'
import { systemClock } from '../../src/domain/clock.ts'
import { Secret } from '../../src/domain/secret.ts'
import { eventually } from '../eventually.ts'
import { hungMount } from '../hung-mount.ts'
import { scratch } from '../scratch.ts'
import { LEAF, LEAF_KEY } from './trial-chain.ts'

const ENV = { PATH: process.env.PATH }
const SILENCE_MS = 300
const NO_MOUNT = 'needs root and /dev/fuse'
const SECRET = 'whsec_long_enough_for_a_test'

const fromFile = (path: string) => ['$', `{file:${path}}`].join('')

function reader(t: Test): ConfigReader {
  const reader = new ConfigReader(SILENCE_MS)
  t.teardown(() => reader.close())
  return reader
}

function written(t: Test, source: object, more: object = {}): string {
  const directory = scratch(t)
  const file = join(directory, 'relay.yaml')
  const target = { type: 'exec', command: ['true'], env: { TOKEN: '$' + '{TOKEN:-unset}' } }
  const sources = { ultravox: { scheme: 'ultravox', ...source } }
  writeFileSync(
    file,
    stringify({ sources, targets: { crm: target }, routes: [{ events: ['*'], to: ['crm'] }], ...more }),
  )
  return file
}

t.test('a configuration read by the process is the same as one read here, secrets and warnings included', async (t) => {
  const file = written(t, { secretsFile: './ultravox.secrets' })
  writeFileSync(join(file, '..', 'ultravox.secrets'), `${SECRET}\n`, { mode: 0o644 })
  const env = { PATH: process.env.PATH, TOKEN: 'from-the-environment' }
  const there = await reader(t).ask('load', { file, env })
  const here = loadConfig(file, env)
  t.same(there.config, here.config)
  const { ultravox } = there.config.sources
  t.equal(ultravox?.scheme === 'ultravox' && ultravox.secrets[0]?.reveal(), SECRET)
  t.same(there.warnings, here.warnings)
  t.match(there.warnings, [{ message: /chmod 600/ }])
  t.ok(there.read.includes('TOKEN'), 'serve hides what was read')
})

t.test('secrets keep their places, whatever the keys around them', async (t) => {
  const value = { a: [new Secret('one'), { secrets: 1, value: new Secret(undefined) }], __proto__: null, b: undefined }
  const back = unpack(structuredClone(pack(value))) as typeof value
  t.equal((back.a[0] as Secret).reveal(), 'one')
  t.ok((back.a[1] as { value: Secret }).value.isMissing)
  t.equal((unpack(structuredClone(pack(new Secret('x')))) as Secret).reveal(), 'x')
})

t.test('problems come with their places', async (t) => {
  const file = written(t, { secretsFile: './none' })
  await t.rejects(reader(t).ask('load', { file, env: ENV }), {
    code: 'config_invalid',
    message: /relay\.yaml:\d+:\d+: sources\.ultravox\.secretsFile: there is no such file/,
    problems: [{ path: 'sources.ultravox.secretsFile' }],
  })
})

t.test('files of a mount that does not answer are named, and the next request is answered', async (t) => {
  const mount = hungMount(t)
  if (mount === null) return t.plan(0, NO_MOUNT)
  const good = written(t, { secrets: [SECRET] })
  const hung = join(mount.directory, 'file')
  const cases: [string, string][] = [
    [written(t, { secretsFile: hung }), hung],
    [written(t, { secrets: [fromFile(hung)] }), hung],
    [written(t, { secrets: [SECRET] }, { server: { tls: { cert: hung, key: hung } } }), hung],
    [written(t, { secrets: [SECRET] }, { admin: { listen: '127.0.0.1:1', token: fromFile(hung) } }), hung],
    [written(t, { secrets: [SECRET] }, { outbox: { path: join(mount.directory, 'relay.db') } }), mount.directory],
    [hung, hung],
  ]
  const link = join(scratch(t), 'link')
  symlinkSync(hung, link)
  cases.push([written(t, { secretsFile: link }), `${link} \\(a symbolic link to ${hung}\\)`])
  const folder = join(scratch(t), 'folder')
  symlinkSync(mount.directory, folder)
  cases.push([written(t, { secretsFile: join(folder, 'x') }), join(folder, 'x')])
  const one = reader(t)
  for (const [file, named] of cases) {
    await t.rejects(one.ask('load', { file, env: ENV }), {
      code: 'config_invalid',
      message: new RegExp(
        `^${named}.* has not answered for 0.3 s: see whether its file system hangs \\(fuse file system at`,
      ),
    })
    t.match(await one.ask('load', { file: good, env: ENV }), { config: { file: good } })
  }
})

t.test('the state of a rotation that does not answer is named too', async (t) => {
  const mount = hungMount(t)
  if (mount === null) return t.plan(0, NO_MOUNT)
  const account = {
    apiKey: 'a-key-that-is-long-enough',
    webhook: { url: 'https://relay.example.com/a', source: 'ultravox' },
  }
  const file = written(t, { secretsFile: './s' }, { ultravox: account })
  writeFileSync(join(file, '..', 's'), SECRET, { mode: 0o600 })
  symlinkSync(join(mount.directory, 'state'), join(file, '..', 's.rotation'))
  const one = reader(t)
  const { config } = await one.ask('load', { file, env: ENV })
  await t.rejects(one.ask('rotations', config), {
    message: /s\.rotation \(a symbolic link to .*state\) has not answered for 0\.3 s/,
  })
})

t.test('what is asked while a file does not answer waits for its turn; closing ends both at once', async (t) => {
  const mount = hungMount(t)
  if (mount === null) return t.plan(0, NO_MOUNT)
  const patient = new ConfigReader()
  const file = written(t, { secretsFile: join(mount.directory, 's') })
  const asked = [1, 2].map(() => t.rejects(patient.ask('load', { file, env: ENV }), { message: /shutting down/ }))
  await eventually(() => /reader-process/.test(childrenOfThis()), 'the process runs')
  patient.close()
  await Promise.all(asked)
  await eventually(() => !/reader-process/.test(childrenOfThis()), 'the process is gone')
})

t.test('a pipe whose writer does not end is given up like any other file', async (t) => {
  const fifo = join(scratch(t), 'fifo')
  execFileSync('mkfifo', [fifo])
  const fd = openSync(fifo, 'r+')
  await t.rejects(reader(t).ask('load', { file: `/dev/fd/${fd}`, env: ENV }), {
    message: new RegExp(`^/dev/fd/${fd} has not answered`),
  })
})

t.test('a descriptor of the relay is read, not one of the process', async (t) => {
  const fd = openSync(written(t, { secrets: [SECRET] }), 'r')
  const { config } = await reader(t).ask('load', { file: `/dev/fd/${fd}`, env: ENV })
  t.ok(config.sources.ultravox)
})

t.test('a pipe that was read at the start is not called an empty file', async (t) => {
  const relay = spawn('sh', ['-c', `: | sh -c 'echo $$; exec sleep 60'`], { stdio: ['ignore', 'pipe', 'ignore'] })
  const [text] = await once(relay.stdout, 'data')
  const pid = Number(text)
  t.teardown(() => process.kill(pid))
  t.throws(() => loadConfig('/dev/stdin', ENV, 'daemon', pid), {
    message: /is a pipe that was read when the relay was started: restart the relay/,
  })
})

t.test(
  'the process has the OpenSSL settings of the relay, no other environment, and a session of its own',
  async (t) => {
    const before = { ...process.env }
    t.teardown(() => Object.assign(process.env, { NODE_OPTIONS: before.NODE_OPTIONS ?? '' }))
    process.env.NODE_OPTIONS = `${before.NODE_OPTIONS ?? ''} --tls-cipher-list=DEFAULT@SECLEVEL=0`
    const file = written(t, { secrets: [SECRET] })
    const one = reader(t)
    await one.ask('load', { file, env: { ...ENV, TOKEN: 'seen-by-none' } })
    const [pid, sid] = childrenOfThis('pid=,sid=,args=')
      .match(/(\d+) +(\d+) .*reader-process/)!
      .slice(1)
    t.equal(sid, pid, 'signals to the process group of the relay do not reach it')
    const environment = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0')
    t.ok(environment.includes(`NODE_OPTIONS=${process.env.NODE_OPTIONS}`))
    const names = environment.map((line) => line.split('=')[0]).filter((name) => name !== '')
    t.same(
      names.filter((name) => !/^(PATH|NODE_OPTIONS|OPENSSL_\w+|NODE_CHANNEL_\w+)$/.test(name!)),
      [],
    )
  },
)

t.test('a process that cannot be started is a problem with what to do, and the next request works', async (t) => {
  const [one, file, { execPath }] = [reader(t), written(t, { secrets: [SECRET] }), process]
  process.execPath = '/no/such/node'
  await t.rejects(one.ask('load', { file, env: ENV }), {
    code: 'config_invalid',
    message: /cannot run: spawn \/no\/such\/node ENOENT; if the program or Node.js was updated .* restart the relay/,
  })
  process.execPath = '/etc/passwd'
  await t.rejects(one.ask('load', { file, env: ENV }), {
    code: 'config_invalid',
    message: /cannot run: spawn .*EACCES$/,
  })
  process.execPath = '/'.padEnd(5_000, 'x')
  await t.rejects(one.ask('load', { file, env: ENV }), { code: 'config_invalid', message: /cannot run: spawn / })
  process.execPath = execPath
  t.match(await one.ask('load', { file, env: ENV }), { config: { file } })
})

t.test('a program that was updated on disk reads no configuration for the older relay', async (t) => {
  const child = fork(fileURLToPath(new URL('../../src/config/reader-process.js', import.meta.url)), {
    serialization: 'advanced',
  })
  child.send({ version: '0.0.1', kind: 'load', request: pack({ file: 'relay.yaml', env: ENV }) })
  const [answer] = await once(child, 'message')
  t.match(answer, { failed: /^the relay runs version 0\.0\.1, and .* is installed by now: restart the relay$/ })
  child.disconnect()
  await once(child, 'exit')
})

t.test('a certificate whose file does not answer is a problem of its files, logged once', async (t) => {
  const mount = hungMount(t)
  if (mount === null) return t.plan(0, NO_MOUNT)
  const certFile = join(mount.directory, 'cert.pem')
  const [logged, looks]: [string[], (string | null)[]] = [[], []]
  const reading = reader(t)
  const watch = watchCertificate(
    { cert: new Secret(LEAF), key: new Secret(LEAF_KEY), certFile, keyFile: null, minVersion: 'TLSv1.2' },
    {
      reader: reading,
      show: () => t.fail('nothing else is served'),
      hosts: [],
      onLook: (problem) => looks.push(problem),
      clock: systemClock,
      report: () => {},
      log: { renewed: () => t.fail('nor renewed'), unusable: (problem) => logged.push(problem) },
    },
  )
  await watch.check()
  await watch.check()
  t.match(logged, [/cert\.pem has not answered for 0\.3 s/])
  t.equal(logged.length, 1)
  t.equal(looks.length, 2)
  reading.close()
  await watch.check()
  t.equal(looks.length, 2, 'a relay that stops reports nothing')
})

function childrenOfThis(columns = 'args='): string {
  return execFileSync('ps', ['-o', columns, '--ppid', String(process.pid)], { encoding: 'utf8' })
}
