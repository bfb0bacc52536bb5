import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { eventually } from '../eventually.ts'
import { httpServer } from '../local-server.ts'
import { scratch } from '../scratch.ts'
import { runRelay, spawnRelay, startRelay, writeConfig } from './relay-process.ts'
import { runCommand } from './run-command.ts'
import { SECRET } from './ultravox-sender.ts'

const valid = {
  sources: { ultravox: { scheme: 'ultravox', secrets: [SECRET] } },
  targets: { sink: { type: 'exec', command: ['cat'] } },
  routes: [{ events: ['*'], to: ['sink'] }],
}

t.test('check says that a configuration is valid, and starts nothing', async (t) => {
  const directory = scratch(t)
  writeConfig(directory, valid)
  t.match(await runCommand(['check'], directory), {
    code: 0,
    stdout: 'relay.yaml is valid: 1 source, 1 target, 1 route\n',
    stderr: '',
  })
  const { code, stdout } = await runCommand(['check', '--json'], directory)
  t.equal(code, 0)
  t.same(JSON.parse(stdout), { file: 'relay.yaml', valid: true, problems: [], warnings: [], notes: [] })
  t.notOk(readdirNames(directory).includes('relay.db'))
})

t.test('check tells everything that is wrong with its place, and ends with 2; serve does the same', async (t) => {
  const directory = t.testdir({
    'my.yaml': [
      'sources:',
      '  ultravox: { scheme: ultravox, secrets: [s-long-enough-secret], tolerance: 60 }',
      'targets:',
      '  crm: { type: http, urll: https://crm.internal }',
      'routes:',
      '  - { events: ["*"], to: [cmr] }',
      '',
    ].join('\n'),
  })
  for (const command of ['check', 'serve']) {
    const { code, stdout, stderr } = await runRelay([command, '--config', 'my.yaml'], directory)
    t.equal(code, 2, command)
    t.equal(stdout, '')
    const lines = stderr.trimEnd().split('\n')
    t.ok(
      lines.every((line) => /^my\.yaml:\d+:\d+: \S+: ./.test(line)),
      stderr,
    )
    t.match(stderr, /my\.yaml:2:\d+: sources\.ultravox\.tolerance: .*60s/)
    t.match(stderr, /my\.yaml:4:\d+: targets\.crm\.urll: .*did you mean "url"/)
    t.match(stderr, /my\.yaml:6:\d+: routes\[0\]\.to\[0\]: .*did you mean "crm"/)
  }
  const { code, stdout, stderr } = await runCommand(['check', '--config', 'my.yaml', '--json'], directory)
  t.match({ code, stderr }, { code: 2, stderr: '' })
  const { valid: isValid, problems } = JSON.parse(stdout)
  t.equal(isValid, false)
  const places = problems.map(({ line, path }: { line: number; path: string }) => `${line} ${path}`)
  for (const place of ['2 sources.ultravox.tolerance', '4 targets.crm.urll', '6 routes[0].to[0]']) {
    t.ok(places.includes(place), place)
  }
  t.same(readdirNames(directory), ['my.yaml'], 'no outbox was made')
})

t.test('a missing configuration is told with how to start', async (t) => {
  const { code, stderr } = await runRelay(['serve', '--config', 'none.yaml'], scratch(t))
  t.equal(code, 2)
  t.match(stderr, /none\.yaml:1:1: there is no such file.*ultravox-relay init/)
})

t.test('an unknown command or option is a usage error that says where to read on', async (t) => {
  const directory = scratch(t)
  for (const args of [['srve'], ['check', '--cofnig', 'x'], ['trigger'], ['config', 'schema', '--x']]) {
    const { code, stderr } = await runCommand(args, directory)
    t.equal(code, 2, args.join(' '))
    t.match(stderr, /error: .*--help/s)
  }
  t.equal((await runRelay(['--help'], directory)).code, 0)
  t.match((await runCommand(['--version'], directory)).stdout, /^\d+\.\d+\.\d+\n$/)
})

t.test('a source that is not verified is warned of at every start', async (t) => {
  const directory = scratch(t)
  const config = writeConfig(directory, { ...valid, sources: { open: { scheme: 'none' } } })
  t.match(await runCommand(['check'], directory), { code: 0, stderr: /^warning: .*sources\.open/ })
  const relay = await startRelay(t, config)
  t.match((await relay.end('SIGTERM')).stderr, /^warning: .*sources\.open/)
})

t.test(
  'serve takes an address and a file of variables, and status and doctor have exit codes for monitoring',
  async (t) => {
    const directory = scratch(t)
    const config = writeConfig(directory, {
      ...valid,
      sources: { ultravox: { scheme: 'ultravox', secrets: ['${RELAY_TEST_SECRET}'] } },
      server: { listen: '127.0.0.1:1' },
      targets: { gone: { type: 'http', url: 'http://127.0.0.1:1/' } },
      routes: [{ events: ['*'], to: ['gone'] }],
      retry: { maxAttempts: 1 },
    })
    const file = join(directory, '.env')
    writeFileSync(file, '# secrets\nRELAY_TEST_SECRET="long-enough-secret-of-a-file"\nexport OTHER=1\n')
    const run = (...args: string[]) => runCommand([...args, '--config', config], directory)
    t.match(await run('check'), { code: 2, stderr: /RELAY_TEST_SECRET/ })
    t.match(await run('check', '--env-file', file), { code: 0 })
    t.match(await run('check', '--env-file', 'gone.env'), {
      code: 2,
      stderr: /--env-file gone\.env cannot be read: there is none/,
    })
    t.match(await run('serve', '--listen', '8080'), { code: 2, stderr: /write host:port, such as 127\.0\.0\.1:8080/ })
    t.match(await run('status', '--exit-code'), { code: 1 }, 'there is no outbox yet')

    const args = ['serve', '--config', config, '--listen', '127.0.0.1:0', '--env-file', file]
    const relay = spawnRelay(args, process.env, directory)
    t.teardown(() => relay.kill('SIGKILL'))
    await eventually(async () => (await run('status', '--exit-code')).code === 0, 'healthy')
    t.match(await run('trigger', 'call.ended', '--env-file', file), { code: 0 })
    await eventually(async () => (await run('status', '--exit-code')).code === 1, 'the delivery is dead')
    const status = await run('status', '--exit-code', '--json')
    t.match(status, { code: 1, stderr: 'problems: 1 delivery to gone dead\n' })
    t.ok(JSON.parse(status.stdout), 'JSON stays JSON')
    t.match(await run('status'), { code: 0 }, 'only where it is asked for')
    t.match(await run('doctor', '--exit-code', '--env-file', file), { code: 1 })
    relay.kill('SIGTERM')
    await once(relay, 'exit')
    t.match(await run('status', '--exit-code'), { code: 4, stderr: /^problems: no relay is running; / })
    t.match(await run('doctor', '--exit-code', '--env-file', file), { code: 4 })
  },
)

t.test('a start says how to send a first event, and trigger sends one that is taken like any other', async (t) => {
  const directory = scratch(t)
  const crm = await httpServer(t, (response) => response.end())
  const config = writeConfig(directory, {
    ...valid,
    targets: { crm: { type: 'http', url: crm.origin } },
    routes: [{ events: ['*'], to: ['crm'] }],
  })
  const relay = await startRelay(t, config)
  await eventually(() => relay.stderr().includes('trigger'), 'the banner')
  const banner = relay.stderr()
  t.match(banner, `listening  ${relay.origin}`)
  t.match(banner, join(directory, 'relay.db'))
  t.match(banner, /sources +ultravox +http:\S+\/webhooks\/ultravox/)
  t.match(banner, /targets +crm +http/)
  t.match(banner, /routes +\* +→ crm/)
  t.match(banner, /trigger call\.ended --config/)

  // The configuration takes any free port; the trigger has to be told the one that was taken.
  const taken = writeConfig(directoryOfItsOwn(), { ...valid, server: { listen: new URL(relay.origin).host } })
  const args = ['trigger', 'call.ended', '--config', taken, '--call-id', 'my-call', '--set', 'call.endReason=timeout']
  t.match(await runCommand([...args, '--set', 'call.metadata.n=3'], directory), {
    code: 0,
    stdout: 'call.ended to source ultravox, call my-call: 204 accepted\n',
  })
  await eventually(() => crm.received.length === 1, 'delivered')
  const payload = JSON.parse(crm.received[0]!.body.toString())
  t.match(payload, { event: 'call.ended', call: { callId: 'my-call', endReason: 'timeout', metadata: { n: 3 } } })

  const wrong = writeConfig(directoryOfItsOwn(), {
    ...valid,
    sources: { ultravox: { scheme: 'ultravox', secrets: ['other-long-enough-secret'] } },
    server: { listen: new URL(relay.origin).host },
  })
  t.match(await runCommand(['trigger', 'call.ended', '--config', wrong], directory), {
    code: 1,
    stdout: /: 401 \{"error":"signature_mismatch"/,
  })
  const told = await runCommand(['trigger', 'call.ended', '--config', wrong, '--call-id', 'c', '--json'], directory)
  t.match(JSON.parse(told.stdout), { event: 'call.ended', callId: 'c', source: 'ultravox', status: 401 })
  const nobody = writeConfig(directoryOfItsOwn(), { ...valid, server: { listen: '127.0.0.1:1' } })
  t.match(await runCommand(['trigger', 'call.ended', '--config', nobody], directory), {
    code: 4,
    stderr: /no answer from http:\/\/127\.0\.0\.1:1\/webhooks\/ultravox: .*is the relay running\?/,
  })
  // The running relay has put on record where it listens.
  t.match(await runCommand(['trigger', 'call.end', '--config', config], directory), {
    code: 0,
    stdout: /^call\.end to source ultravox, call \S+: 204 accepted\n$/,
    stderr: /^note: Ultravox sends no event call\.end \(did you mean "call\.ended"\?\)\n$/,
  })
  t.match(await runCommand(['trigger', 'x.y', '--config', taken, '--set', 'call=null'], directory), {
    code: 0,
    stdout: 'x.y to source ultravox, call without id: 204 accepted\n',
  })
  t.match(await runCommand(['trigger', 'call.ended', '--config', taken, '--source', 'x'], directory), {
    code: 2,
    stderr: /there is no source "x"; there is: ultravox/,
  })
})

t.test('config schema and config reference print what stands in config/ and docs/', async (t) => {
  const directory = scratch(t)
  const fresh = { code: 0, stderr: '' }
  const [schema, reference] = ['config/relay.schema.json', 'docs/configuration.md'].map((f) => readFileSync(f, 'utf8'))
  t.match(await runCommand(['config', 'schema'], directory), { ...fresh, stdout: schema }, 'run npm run schema')
  t.match(await runCommand(['config', 'reference'], directory), { ...fresh, stdout: reference }, 'run npm run schema')
})

function directoryOfItsOwn(): string {
  return mkdtempSync(join(tmpdir(), 'relay-cli-'))
}

function readdirNames(directory: string): string[] {
  return readdirSync(directory).sort()
}
