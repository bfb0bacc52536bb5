import { execFileSync } from 'node:child_process'
import { chmodSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createServer } from 'node:tls'
import t from 'tap'
import { targetChecks } from '../../src/cli/doctor/targets.ts'
import { loadConfig } from '../../src/config/load.ts'
import { createDaemonStateStore } from '../../src/outbox/sqlite/daemon-state.ts'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { VERSION } from '../../src/version.ts'
import { httpServer, listening, tcpServer } from '../local-server.ts'
import { scratch } from '../scratch.ts'
import { EXPIRED, TRIAL_KEY } from '../targets/trial-certificates.ts'
import { commandsIn, fill, type Row, service, sink, sources } from './operator-commands.ts'
import { startRelay, writeConfig } from './relay-process.ts'
import { runCommand } from './run-command.ts'

const HOUR = 3_600_000
const toCrm = { sources, targets: { crm: sink }, routes: [{ events: ['*'], to: ['crm'] }] }

/** What doctor says, by what it is about, and what it ends with. */
async function examined(directory: string, ...more: string[]) {
  const { code, stdout, stderr } = await runCommand(['doctor', '--json', ...more], directory)
  if (stdout === '') throw new Error(stderr)
  const { checks, ...counts } = JSON.parse(stdout) as { checks: Row[]; ok: boolean; problems: number; warnings: number }
  const about = (name: string) => checks.filter((each) => each.name === name)
  return { code, stderr, ...counts, about, level: (name: string) => about(name).map(({ level }) => level) }
}

/** A configuration that only its owner can read, for the tests' secret stands in it. */
function configured(directory: string, config: Record<string, unknown> = toCrm): string {
  const file = writeConfig(directory, config)
  chmodSync(file, 0o600)
  return file
}

t.test('doctor finds nothing wrong where nothing is, whether the relay runs or not', async (t) => {
  const directory = scratch(t)
  const { run } = commandsIn(directory)
  const up = await service(t, true)
  const config = configured(directory, { ...toCrm, targets: { crm: up.target } })
  const before = await examined(directory)
  t.match(before, { code: 0, ok: true, problems: 0, warnings: 2, stderr: '' })
  t.match(before.about('outbox'), [{ level: 'warning', message: /there is none at/ }])
  t.match(before.about('daemon'), [{ level: 'warning', advice: /serve/ }])

  const relay = await startRelay(t, config)
  const tell = teller(directory, config, relay.origin)
  tell({})
  const { code, stdout, stderr } = await run('doctor --color off')
  t.match({ code, stderr }, { code: 0, stderr: '' })
  const starts = ['configuration  relay.yaml is valid', 'outbox         /.*sound', 'permissions    relay.yaml']
  const more = [
    'permissions    /.*relay.db',
    'disk           .* free',
    'daemon         process 7 .*',
    'target crm     can be',
  ]
  const lines = [...starts, ...more, 'deliveries     none is dead'].map((start) => `ok       ${start}.*\n`)
  t.match(stdout, new RegExp(`^${lines.join('')}$`))
  t.equal(up.received.length, 0, 'no request was sent')
  t.match((await run('doctor --color on')).stdout, '\u001b[32mok')
  t.match((await examined(directory, '--deep')).about('outbox'), [{ message: /sound in every detail/ }])

  tell({ version: '0.0.1' })
  t.match((await examined(directory)).about('daemon')[1], { level: 'warning', message: /version 0\.0\.1.*/ })
  tell({ reloadedAt: Date.now(), reloadProblem: 'relay.yaml:1:1: targets: is\nmissing' })
  t.match(await examined(directory), { code: 1, problems: 1 })
  t.match(await run('doctor'), { stdout: /problem +daemon +could not load .*: relay\.yaml:1:1: targets: is missing\n/ })
  tell({ startedAt: Date.now() - HOUR })
  utimesSync(config, new Date(), new Date())
  t.match((await examined(directory)).about('daemon')[1], { level: 'warning', message: /changed after it was loaded/ })
  tell({ configFile: '/etc/other.yaml' })
  t.match((await examined(directory)).about('daemon')[1], { level: 'warning', message: /other\.yaml/ })
  tell({ listen: '127.0.0.1:1' })
  t.match((await examined(directory)).about('daemon'), [{ level: 'problem', message: /does not answer.*ECONNREFUSED/ }])
})

/** Has the daemon say something else of itself than it does. */
function teller(directory: string, configFile: string, origin: string) {
  return (said: object) => {
    const database = openDatabase(join(directory, 'relay.db'))
    const usual = { pid: 7, version: VERSION, listen: new URL(origin).host, configFile, startedAt: Date.now() }
    createDaemonStateStore(database).saveDaemon({
      ...usual,
      reloads: 0,
      reloadedAt: null,
      reloadProblem: null,
      answeredReload: 0,
      secrets: {},
      configuration: null,
      reloadChanges: [],
      unknownPaths: [],
      ...said,
    })
    database.close()
  }
}

t.test('doctor says everything that is wrong with a configuration', async (t) => {
  const directory = t.testdir({ 'relay.yaml': 'sources: {}\ntargets: {crm: {type: htp}}\nroutes: []\n' })
  const { code, problems, about } = await examined(directory)
  t.equal(code, 1)
  t.equal(about('configuration').length, problems)
  t.ok(problems > 1)
  t.match(about('configuration')[0], { level: 'problem', message: /^relay\.yaml:1:10: sources/ })
  t.match(await examined(directory, '--config', 'none.yaml'), { code: 1, problems: 1 })
})

t.test('doctor tells who may read what they should not', async (t) => {
  const directory = t.testdir({ secret: 'hush-and-say-no-word' })
  const { run } = commandsIn(directory)
  const secrets = ['${file:secret}', 'in-the-file-itself']
  const file = configured(directory, { ...toCrm, sources: { ultravox: { scheme: 'ultravox', secrets } } })
  await fill(directory, [{}], ['crm'], 'delivered')
  chmodSync(join(directory, 'secret'), 0o600)
  t.match(await examined(directory), { code: 0, problems: 0 })
  for (const name of ['secret', 'relay.yaml', 'relay.db']) chmodSync(join(directory, name), 0o644)
  t.match((await examined(directory)).about('permissions'), [
    {
      level: 'problem',
      message: /relay\.yaml, which holds secrets \(sources\.ultravox\.secrets\[1\]\)$/,
      advice: /chmod/,
    },
    { level: 'problem', message: /secret in .*\/secret$/, advice: /chmod o-rw .*\/secret/ },
    { level: 'problem', message: /phone calls' data in .*relay\.db/, advice: /chmod 600/ },
  ])
  const { stdout, stderr } = await run('doctor')
  t.notMatch(stdout + stderr, /hush|in-the-file/)
  writeConfig(directory, { ...toCrm, sources: { ultravox: { scheme: 'ultravox', secrets: [secrets[0]] } } })
  t.match((await examined(directory)).about('permissions')[0], { level: 'ok', message: file.split('/').at(-1) })
})

t.test('doctor tells of targets that cannot be reached', async (t) => {
  const directory = scratch(t)
  const up = await service(t, true)
  const { origin } = await httpServer(t, (response) => response.end())
  configured(directory, {
    sources,
    targets: {
      up: up.target,
      refused: { type: 'http', url: 'http://127.0.0.1:1/hush?token=hush' },
      plain: { type: 'http', url: origin.replace('http:', 'https:') },
      socket: { type: 'http', url: 'http+unix://%2Ftmp%2Fno-such.sock/' },
      proxied: { type: 'http', url: 'http://crm.internal/', proxy: 'http://user:hush@127.0.0.1:1' },
      program: sink,
    },
    routes: [{ events: ['*'], to: ['up', 'refused', 'plain', 'socket', 'proxied', 'program'] }],
  })
  const { code, problems, about, level } = await examined(directory)
  t.match({ code, problems }, { code: 1, problems: 4 })
  t.same([level('target up'), level('target program')], [['ok'], ['ok']])
  t.match(about('target refused'), [
    { level: 'problem', message: 'connect: ECONNREFUSED 127.0.0.1:1', advice: /running/ },
  ])
  t.match(about('target plain'), [{ level: 'problem', message: /^tls: /, advice: /does not speak TLS there/ }])
  t.match(about('target socket'), [{ level: 'problem', message: 'connect: ENOENT /tmp/no-such.sock' }])
  t.match(about('target proxied'), [{ level: 'problem', message: /^proxy: connect: ECONNREFUSED/, advice: /proxy/ }])
  const { stdout, stderr } = await runCommand(['doctor'], directory)
  t.notMatch(stdout + stderr, 'hush')
})

t.test('doctor tells of a certificate that ends soon', async (t) => {
  const directory = scratch(t)
  const request = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 5 -subj /CN=localhost'
  const names = ['-addext', 'subjectAltName=DNS:localhost', '-keyout', 'key.pem', '-out', 'cert.pem']
  execFileSync('openssl', [...request.split(' '), ...names], { cwd: directory, stdio: 'pipe' })
  const [key, cert] = ['key.pem', 'cert.pem'].map((name) => readFileSync(join(directory, name)))
  const { host } = await listening(t, createServer({ key, cert }))
  const crm = { type: 'http', url: `https://${host}/`, tls: { ca: './cert.pem', servername: 'localhost' } }
  configured(directory, { ...toCrm, targets: { crm } })
  t.match(await examined(directory), { code: 0, problems: 0 })
  // It is renewed every few days, so being good for four is no more than usual. With a fifth left it was not.
  const good = { level: 'ok', message: /whose certificate is good for 4 days$/ }
  t.match((await examined(directory)).about('target crm'), [good])
  const { config } = loadConfig(join(directory, 'relay.yaml'), {})
  const [check] = targetChecks(config, Date.now() + 4.5 * 24 * HOUR, 5_000)
  const told = { level: 'warning', message: /^the certificate of 127\.0\.0\.1:\d+ ends at .*Z, in 1[12]h/ }
  t.match(await check!.run(), [told])

  writeFileSync(join(directory, 'client.pem'), EXPIRED)
  writeFileSync(join(directory, 'client.key'), TRIAL_KEY, { mode: 0o600 })
  const shown = { cert: './client.pem', key: './client.key' }
  configured(directory, { ...toCrm, targets: { crm: { ...crm, tls: { ...crm.tls, ...shown } } } })
  const expired = { level: 'problem', message: /^its client certificate expired at / }
  const { code, about } = await examined(directory)
  t.equal(code, 1)
  t.match(about('target crm'), [expired, good])
  t.match(about('configuration'), [{ level: 'warning', message: /targets\.crm\.tls\.cert: expired at/ }])
})

t.test('doctor says what to do about a server that TLS fails with', async (t) => {
  const directory = scratch(t)
  const alert = (number: number) => Buffer.from([0x15, 3, 3, 0, 2, 2, number])
  const cases: [Buffer | string, RegExp][] = [
    [alert(48), /rejects the client certificate/],
    [alert(42), /rejects the client certificate/],
    [alert(45), /rejects the client certificate/],
    [alert(40), /may want a client certificate/],
    [alert(70), /no version of TLS in common/],
    ['HTTP/1.1 400 Bad Request\r\n\r\n', /does not speak TLS there.*http:/],
  ]
  for (const [answer, advice] of cases) {
    const { port } = await tcpServer(t, (socket) => socket.on('data', () => socket.end(answer)))
    configured(directory, { ...toCrm, targets: { crm: { type: 'http', url: `https://127.0.0.1:${port}/` } } })
    const { config } = loadConfig(join(directory, 'relay.yaml'), {})
    const [check] = targetChecks(config, Date.now(), 5_000)
    t.match(await check!.run(), [{ level: 'problem', message: /^tls: ERR_SSL_/, advice }])
  }
})

t.test('doctor tells what waits, and what was refused', async (t) => {
  const directory = scratch(t)
  const { run } = commandsIn(directory)
  configured(directory)
  await fill(directory, [{}, {}], ['crm'], 'dead')
  await fill(directory, [{}], ['crm', 'gone'])
  const outbox = await SqliteOutbox.open(join(directory, 'relay.db'), (error) => t.fail(error.message))
  await outbox.saveBreaker('crm', { probeAt: Date.now() + HOUR, cooldownMs: HOUR }, Date.now())
  const kept = { body: Buffer.from('{}'), contentType: null }
  const stale = {
    source: 'ultravox',
    receivedAt: 0,
    reason: 'timestamp_stale',
    requestId: 'req_1',
    peer: '::1',
    bytes: 2,
    headers: '',
  } as const
  await outbox.reject({ ...stale, kept })
  await outbox.close()
  const { about, code } = await examined(directory)
  t.equal(code, 0, 'the relay itself is in order')
  t.match(about('rejections'), [{ message: /^1 genuine request was refused as timestamp_stale/, advice: /--clock/ }])
  t.match(about('target gone'), [{ level: 'warning', message: /not configured, and 1 delivery wait/ }])
  t.match(about('target crm').slice(1), [
    { level: 'warning', message: /breaker is open/ },
    { level: 'warning', message: /has waited for \d+d/ },
    { level: 'warning', message: '2 deliveries dead', advice: /deliveries retry --target crm/ },
  ])
  const path = join(directory, 'relay.db')
  const file = readFileSync(path)
  writeFileSync(path, file.fill(0x41, 4096 * 3, 4096 * 5))
  t.match(await run('doctor'), { code: 1, stdout: /problem +outbox .*\n +→ .*backup/ })
})

t.test("doctor compares the machine's clock with a server's", async (t) => {
  const directory = scratch(t)
  configured(directory)
  let ahead = 0
  const { origin, received } = await httpServer(t, (response) => {
    response.writeHead(200, { date: new Date(Date.now() + ahead).toUTCString() }).end()
  })
  const clock = async () => (await examined(directory, '--clock', origin)).about('clock')
  t.match(await clock(), [{ level: 'ok', message: /^within 5 s of 127\.0\.0\.1/ }])
  t.equal(received[0]!.method, 'HEAD')
  ahead = 20_000
  t.match(await clock(), [{ level: 'warning', message: /s behind / }])
  ahead = -HOUR
  t.match(await clock(), [{ level: 'problem', message: /^(1h|59m 59s|1h \ds) ahead of .*too old/ }])
  const unreachable = await examined(directory, '--clock', 'http://127.0.0.1:1')
  t.match(unreachable.about('clock'), [{ level: 'warning', message: /no time from 127\.0\.0\.1:1/ }])
  t.match(await runCommand(['doctor', '--clock', 'time'], directory), { code: 2, stderr: /write an http or https URL/ })
})
