import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { eventually } from '../eventually.ts'
import { asOtherUser, OTHER } from '../other-user.ts'
import { scratch } from '../scratch.ts'
import { MAIN, runRelay, startRelay, writeConfig } from './relay-process.ts'
import { bodyOf, SECRET, send } from './ultravox-sender.ts'

const config = {
  sources: { ultravox: { scheme: 'ultravox', secrets: [SECRET] } },
  targets: { hook: { type: 'exec', command: ['/bin/cat'] } },
  routes: [{ events: ['*'], to: ['hook'] }],
}

const asOther = asOtherUser(process.execPath, MAIN)

/** One line with the cause and the fix, and no stack. */
const sentence = (words: RegExp) => new RegExp(`^ultravox-relay: [^\\n]*${words.source}[^\\n]*\\n$`)

t.test('a file that may not be read is not taken for one that is missing', asOther, async (t) => {
  const directory = scratch(t)
  chmodSync(directory, 0o755)
  mkdirSync(join(directory, 'data'), { mode: 0o700 })
  writeConfig(directory, { ...config, outbox: { path: './data/relay.db' } })
  chmodSync(join(directory, 'relay.yaml'), 0o644)
  writeFileSync(join(directory, 'data/relay.db'), 'x', { mode: 0o600 })
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [MAIN, ...args], { cwd: directory, encoding: 'utf8', uid: OTHER, gid: OTHER })
  const closed =
    /relay\.db cannot be read and written by user nobody: it may not enter .*data; run this as root, as in sudo -u root/
  for (const command of ['status', 'events list', 'targets pause hook', 'tail', 'backup x.db']) {
    t.match(run(...command.split(' ')), { status: 1, stdout: '', stderr: sentence(closed) }, command)
  }
  t.match(run('doctor'), { status: 1, stdout: /problem +outbox +\S+ cannot be read by user nobody: it may not enter/ })
  chmodSync(join(directory, 'data'), 0o755)
  t.match(run('status'), { status: 1, stderr: /relay\.db cannot be read and written by user nobody; run this as root/ })
  chmodSync(directory, 0o700)
  t.match(run('check', '--config', join(directory, 'relay.yaml')), {
    status: 2,
    stderr: /relay\.yaml cannot be read by user nobody: it may not enter /,
  })
})

t.test('in a directory that is gone, every command says so', async (t) => {
  const directory = scratch(t)
  const file = writeConfig(directory, config)
  const gone = join(directory, 'gone')
  for (const args of [['serve'], ['check'], ['status'], ['init', '/nowhere/relay.yaml'], ['backup', 'x'], ['reload']]) {
    mkdirSync(gone)
    const command = [process.execPath, MAIN, ...args, ...(args[0] === 'init' ? [] : ['--config', file])]
    const script = 'rmdir ../gone && exec "$@"'
    const { status, stdout, stderr } = spawnSync('/bin/sh', ['-c', script, 'sh', ...command], {
      cwd: gone,
      encoding: 'utf8',
      env: { PATH: process.env.PATH },
    })
    t.match(
      { status, stdout, stderr },
      { status: 2, stdout: '', stderr: sentence(/working directory does not exist.*cd \//) },
    )
    rmSync(gone, { force: true, recursive: true })
  }
})

t.test('where it cannot listen, the next step is named', async (t) => {
  const directory = scratch(t)
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => taken.close())
  const { port } = taken.address() as { port: number }
  const cases: Readonly<Record<string, RegExp>> = {
    [`127.0.0.1:${port}`]: new RegExp(`another process has this port: find it with ss -ltnp 'sport = :${port}'`),
    '192.0.2.1:8080': /this machine has no such address: ip address lists/,
  }
  for (const [listen, words] of Object.entries(cases)) {
    const file = writeConfig(directory, { ...config, server: { listen } })
    const { code, stderr } = await runRelay(['serve', '--config', file], directory)
    t.match({ code, stderr }, { code: 1, stderr: sentence(words) }, listen)
  }
  const file = writeConfig(directory, { ...config, admin: { listen: `unix:${directory}/none/admin.sock` } })
  const { code, stderr } = await runRelay(['serve', '--config', file], directory)
  t.match(
    { code, stderr },
    { code: 1, stderr: sentence(/the directory of the socket does not exist, or .*: create it/) },
  )
})

t.test('an outbox in a directory of another user says who may not write it', asOther, async (t) => {
  const directory = scratch(t)
  chmodSync(directory, 0o755)
  mkdirSync(join(directory, 'data'), { mode: 0o755 })
  const file = writeConfig(directory, { ...config, outbox: { path: './data/relay.db' } })
  const { status, stderr } = spawnSync(process.execPath, [MAIN, 'serve', '--config', file], {
    uid: OTHER,
    gid: OTHER,
    cwd: directory,
    encoding: 'utf8',
    env: { PATH: process.env.PATH },
  })
  t.match({ status, stderr }, { status: 1, stderr: sentence(/permission denied; let user 65534 write .*data.*chown/) })
})

t.test('a configuration that is no text says how to make it one', async (t) => {
  const directory = scratch(t)
  const check = (name: string) => runRelay(['check', '--config', join(directory, name)], directory)
  mkdirSync(join(directory, 'directory'))
  spawnSync('mkfifo', [join(directory, 'fifo')])
  writeFileSync(join(directory, 'utf16'), Buffer.from('\ufeffserver: {}\n', 'utf16le'))
  writeFileSync(join(directory, 'utf16-plain'), Buffer.from('server: {}\n', 'utf16le'))
  writeFileSync(join(directory, 'empty'), '')
  writeFileSync(join(directory, 'tabs'), 'server:\n\tlisten: x\n')
  const words: Readonly<Record<string, RegExp>> = {
    directory: /is a directory: name a file in it/,
    fifo: /is not a regular file/,
    utf16: /is UTF-16 text, .*: save it as UTF-8 \(iconv/,
    'utf16-plain': /is UTF-16 text, .*: save it as UTF-8 \(iconv/,
    empty: /is empty: make one to start with/,
    tabs: /a tab cannot indent/,
  }
  for (const [name, expected] of Object.entries(words)) {
    const { code, stderr } = await check(name)
    t.equal(code, 2, name)
    t.match(stderr, expected)
    t.equal(stderr.split('\n').length, 2, stderr)
  }
  const withMark = join(directory, 'bom')
  writeFileSync(withMark, `\ufeff${JSON.stringify({ ...config, outbox: { path: './relay.db' } })}`)
  t.equal((await check('bom')).code, 0)
})

t.test('without HOME and USER, and with everything closed, it does what it is asked for', async (t) => {
  const directory = scratch(t)
  const file = writeConfig(directory, config)
  const script = 'exec "$@" <&-'
  const { status, stdout } = spawnSync(
    '/usr/bin/env',
    ['-i', '/bin/sh', '-c', script, 'sh', process.execPath, MAIN, 'check', '--config', file],
    {
      cwd: directory,
      encoding: 'utf8',
    },
  )
  t.match({ status, stdout }, { status: 0, stdout: /is valid/ })
})

t.test(
  'a hook that cannot be executed stops neither the start nor other targets, and recovers without a restart',
  async (t) => {
    const directory = scratch(t)
    const hook = join(directory, 'hook.sh')
    writeFileSync(hook, '#!/bin/sh\ncat\n', { mode: 0o644 })
    const retry = { initialDelay: '50ms', maxDelay: '50ms' }
    const targets = { broken: { type: 'exec', command: ['./hook.sh'], retry }, ...config.targets }
    const file = writeConfig(directory, { ...config, targets, routes: [{ events: ['*'], to: ['broken', 'hook'] }] })
    t.match(await runRelay(['check', '--config', file], directory), {
      code: 2,
      stderr: /cannot be executed: chmod \+x it/,
    })
    const relay = await startRelay(t, file)
    t.equal((await send(`${relay.origin}/webhooks/ultravox`, bodyOf('call.ended'))).status, 204)
    const attempts = (target: string, outcome: RegExp) =>
      relay.log.filter((line) => line.target === target && outcome.test(JSON.stringify(line)))
    await eventually(() => attempts('hook', /"delivered"/).length > 0, 'the other target is served')
    await eventually(() => attempts('broken', /EACCES/).length > 0, 'its attempt says why')
    const doctor = await runRelay(['doctor', '--config', file], directory)
    t.match(doctor.stdout, /target broken.*cannot be executed/)
    chmodSync(hook, 0o755)
    await eventually(() => attempts('broken', /"delivered"/).length > 0, 'it recovers', 20_000)
  },
)
