import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { eventually } from '../eventually.ts'
import { rawHttpServer } from '../local-server.ts'
import { scratch } from '../scratch.ts'
import { adminAddress, adminClient } from './admin-client.ts'
import { sink, sources } from './operator-commands.ts'
import { runRelay, startRelay, writeConfig } from './relay-process.ts'
import { runCommand } from './run-command.ts'
import { bodyOf, send } from './ultravox-sender.ts'

const TOKEN = 'a-token-of-enough-length'
const LOOPBACK = '127.0.0.1:0'
const routes = [{ events: ['*'], to: ['sink'] }]

async function running(t: Test, admin: object, more: object = {}) {
  const directory = scratch(t)
  const write = (admin: object | undefined, more: object = {}) =>
    writeConfig(directory, { sources, targets: { sink }, routes, ...(admin === undefined ? {} : { admin }), ...more })
  const file = write(admin, more)
  const relay = await startRelay(t, file)
  const reload = () => runCommand(['reload', '--config', file], directory)
  return { directory, file, relay, write, reload, ...adminClient(adminAddress(relay)) }
}

t.test('with a token', async (t) => {
  const slow = { type: 'exec', command: ['sleep', '60'] }
  const { directory, get, post, relay } = await running(
    t,
    { listen: LOOPBACK, token: TOKEN },
    { targets: { sink: slow } },
  )

  await t.test('health needs no token, all else does', async (t) => {
    t.match(await get('/healthz', { host: 'a-load-balancer' }), { status: 200, text: '{"status":"ok"}' })
    t.match((await get('/readyz?verbose')).json(), { ready: true, problems: [] })
    for (const path of ['/metrics', '/api/targets', '/api/openapi.json', '/api/nothing', '/', '/healthz/']) {
      const refused = await get(path)
      t.match(refused, { status: 401, headers: { 'www-authenticate': 'Bearer' } }, path)
      t.match(refused.json(), { error: 'unauthorized', message: /admin\.token/ })
      const wrong = await get(path, { authorization: `Bearer ${TOKEN}x` })
      t.equal(wrong.status, 401, path)
    }
    t.equal((await post('/api/targets/sink/pause')).status, 401)
    const authorization = `Bearer ${TOKEN}`
    t.equal((await get('/metrics', { authorization })).status, 200)
    t.match((await get('/api/targets', { authorization })).json(), { targets: [{ pausedByCommand: false }] })
    t.match((await get('/api/nothing', { authorization })).json(), { error: 'not_found' })
    t.notMatch(JSON.stringify(relay.log), TOKEN)
  })

  await t.test('it says why no webhooks can be taken: the outbox', async (t) => {
    const other = openDatabase(join(directory, 'relay.db'))
    t.teardown(() => other.close())
    other.exec('begin immediate')
    // What was found a moment ago is told again.
    await eventually(async () => (await get('/readyz')).status === 503, 'not ready')
    t.match((await get('/readyz')).json(), { ready: false, problems: [{ check: 'outbox' }] })
    other.exec('rollback')
    await eventually(async () => (await get('/readyz')).status === 200, 'ready again')
  })

  await t.test('it says that the relay is being stopped, for as long as that takes', async (t) => {
    await send(`${relay.origin}/webhooks/ultravox`, bodyOf('call.ended'))
    relay.process.kill('SIGTERM')
    await eventually(async () => (await get('/readyz')).status === 503, 'no more webhooks, please')
    t.match((await get('/readyz')).json(), { problems: [{ check: 'stopping', message: 'the relay is being stopped' }] })
    t.equal((await get('/healthz')).status, 200)
  })
})

t.test('without a token', async (t) => {
  const outbox = { path: './relay.db', reserve: '100000gb' }
  const { get, post, relay } = await running(t, { listen: LOOPBACK, hosts: ['relay.internal'] }, { outbox })

  await t.test('requests by a name that somebody else may have made lead here are refused', async (t) => {
    t.equal((await get('/api/targets', { host: 'relay.internal' })).status, 200)
    t.match(await get('/api/targets', { host: 'evil.test' }), { status: 403, text: /host_not_allowed.*admin\.hosts/ })
    t.match(await get('/metrics', { host: 'evil.test' }), { status: 403 })
    const across = await post('/api/targets/sink/pause', undefined, { origin: 'https://evil.test' })
    t.match(across, { status: 403, text: /origin_not_allowed/ })
    t.match((await get('/api/targets')).json(), { targets: [{ pausedByCommand: false }] }, 'nothing was done')
  })

  await t.test('it says why no webhooks can be taken: the disk', async (t) => {
    const answer = await get('/readyz')
    t.equal(answer.status, 503)
    t.match(answer.json(), {
      ready: false,
      problems: [{ check: 'disk', message: /left on the file system.*outbox\.reserve/ }],
    })
    t.equal((await get('/healthz')).status, 200, 'alive all the same')
    t.equal((await send(`${relay.origin}/webhooks/ultravox`, bodyOf('call.ended'))).status, 503, 'from the start')
  })
})

t.test(
  'a unix socket is for its owner, or its group too, is taken over after kill -9, and goes with the relay',
  async (t) => {
    const { file, directory, relay, get, write, reload } = await running(t, { listen: 'unix:./admin.sock' })
    const path = join(directory, 'admin.sock')
    const mode = () => (statSync(path).mode & 0o777).toString(8)
    t.equal(mode(), '600')
    t.equal((await get('/api/targets')).status, 200)
    write({ listen: 'unix:./admin.sock', socketMode: '0660' })
    t.equal((await reload()).code, 0)
    t.equal(mode(), '660')
    t.equal((await get('/healthz')).status, 200)

    await relay.end('SIGKILL')
    const next = await startRelay(t, file)
    t.equal((await adminClient(adminAddress(next)).get('/healthz')).status, 200)

    const elsewhere = scratch(t)
    const other = { sources, targets: { sink }, routes, admin: { listen: adminAddress(next) } }
    const refused = await runRelay(['serve', '--config', writeConfig(elsewhere, other)], elsewhere)
    t.match(refused, { code: 1, stderr: /admin listener cannot listen on unix:.*EADDRINUSE/ })
    await next.end('SIGTERM')
    t.notOk(existsSync(path))
  },
)

t.test('without a token it refuses to start where others can reach it', async (t) => {
  const directory = scratch(t)
  const file = writeConfig(directory, { sources, targets: { sink }, routes, admin: { listen: '0.0.0.0:0' } })
  const refused = await runRelay(['serve', '--config', file], directory)
  t.match(refused, { code: 2, stderr: /admin\.listen: can be reached from other machines, and there is no token/ })
})

t.test('a reload opens, moves and closes it; one that cannot be opened changes nothing', async (t) => {
  const { relay, file, write, reload, get } = await running(t, { listen: LOOPBACK })
  const first = adminAddress(relay)
  write({ listen: LOOPBACK, token: TOKEN })
  t.equal((await reload()).code, 0)
  t.equal(adminAddress(relay), first, 'the socket stays')
  t.equal((await get('/api/targets')).status, 401, 'the token holds from now on')

  const { host } = await rawHttpServer(t, (_request, response) => response.end())
  write({ listen: host })
  const refused = await reload()
  t.match(refused, {
    code: 2,
    stderr: /not reloaded.*\n.*admin listener cannot listen on 127\.0\.0\.1:\d+: .*EADDRINUSE/,
  })
  t.equal((await get('/api/targets')).status, 401)

  write({ listen: first.replace('127.0.0.1', '0.0.0.0'), token: TOKEN })
  t.match(await reload(), { code: 2, stderr: /EADDRINUSE.*the relay itself has this port/ })

  write({ listen: 'unix:./admin.sock' })
  t.equal((await reload()).code, 0)
  await eventually(() => adminAddress(relay) !== first, 'the log says where it is now')
  t.equal((await adminClient(adminAddress(relay)).get('/api/targets')).status, 200)
  await t.rejects(get('/healthz'), { code: 'ECONNREFUSED' })

  write(undefined)
  t.equal((await reload()).code, 0)
  t.notOk(existsSync(join(file, '..', 'admin.sock')))
})
