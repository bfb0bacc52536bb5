import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { eventually } from '../eventually.ts'
import { httpServer } from '../local-server.ts'
import { scratch } from '../scratch.ts'
import { commandsIn, fill, service, sources } from './operator-commands.ts'
import { startRelay, writeConfig } from './relay-process.ts'
import { bodyOf, send } from './ultravox-sender.ts'

const DAY = 86_400_000
const routes = [{ events: ['*'], to: ['crm'] }]

function valueIn(directory: string, sql: string): unknown {
  const database = openDatabase(join(directory, 'relay.db'), { readonly: true })
  try {
    return database.prepare(sql).pluck().get()
  } finally {
    database.close()
  }
}

t.test('a running relay removes what is old by itself, and still knows it', async (t) => {
  const directory = scratch(t)
  const crm = await service(t, true)
  const body = bodyOf('call.ended', 'old')
  const old = { receivedAt: Date.now() - 40 * DAY, callId: 'old', body }
  await fill(
    directory,
    [old, ...Array.from({ length: 600 }, () => ({ receivedAt: old.receivedAt }))],
    ['crm'],
    'delivered',
  )
  const config = { sources, targets: { crm: crm.target }, routes }
  const relay = await startRelay(t, writeConfig(directory, { ...config, outbox: { path: './relay.db' } }))
  const { run, json } = commandsIn(directory)
  await eventually(() => valueIn(directory, 'select count(*) from event_bodies') === 0, 'all bodies are gone')
  t.equal(valueIn(directory, 'select count(*) from attempts') as number, 0)
  await eventually(() => relay.log.some(({ msg }) => msg === 'outbox pruned'), 'it is logged')
  t.match(
    relay.log.find(({ msg }) => msg === 'outbox pruned'),
    { events: 601, rejections: 0, keys: 0 },
  )
  t.equal((await send(`${relay.origin}/webhooks/ultravox`, body)).status, 204)
  t.match(await json('events list --call old'), { events: [{ duplicates: 1, prunedAt: /Z$/ }] })
  t.match((await run('calls show old')).stdout, /pruned at \d{4}-.*, with all that became of it/)
  t.match((await run('events list --state none')).stdout, '')
  t.equal(crm.received.length, 0)
  t.match(await json('status'), { outbox: { events: 0, maxSizeBytes: null, usedBytes: Number } })
})

t.test('what is delivered goes a moment after, where it is to', async (t) => {
  const directory = scratch(t)
  const crm = await service(t, true)
  const outbox = { path: './relay.db', retention: { delivered: '1s' } }
  const relay = await startRelay(t, writeConfig(directory, { sources, targets: { crm: crm.target }, routes, outbox }))
  await send(`${relay.origin}/webhooks/ultravox`, bodyOf('call.ended'))
  await eventually(() => valueIn(directory, 'select count(*) from events where pruned_at is not null') === 1, 'pruned')
  t.equal(crm.received.length, 1)
})

t.test('an outbox that cannot be kept to its size says so', async (t) => {
  const directory = scratch(t)
  const ops = await httpServer(t, (response) => response.end())
  const body = Buffer.alloc(400_000, 32)
  await fill(directory, [{ body }, { body }, { body }], ['crm'])
  const config = writeConfig(directory, {
    sources,
    targets: { crm: { type: 'exec', command: ['cat'], paused: true }, ops: { type: 'http', url: ops.origin } },
    routes: [...routes, { events: ['relay.*'], to: ['ops'] }],
    outbox: { path: './relay.db', maxSize: '1mb' },
  })
  await startRelay(t, config)
  const { run } = commandsIn(directory)
  await eventually(() => ops.received.length === 1, 'the alert')
  t.match(JSON.parse(ops.received[0]!.body.toString()), {
    event: 'relay.outbox.full',
    outbox: { maxSizeBytes: 1024 ** 2, usedBytes: Number },
  })
  t.match((await run('status')).stdout, /MB, more than outbox\.maxSize, WAL/)
  // The test's secret stands in the file, which doctor calls a problem.
  t.match((await run('doctor')).stdout, /warning +outbox +it holds 1\.\d MB, more than maxSize \(1\.0 MB\)\n/)
  t.equal(valueIn(directory, 'select count(*) from event_bodies where length(body) = 400000'), 3, 'nothing was lost')
})

/** A directory with a small file system of its own; null where that takes rights that are not there. */
function smallDisk(t: Test, size: string): string | null {
  const directory = mkdtempSync(join(tmpdir(), 'relay-disk-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', directory], { stdio: 'pipe' })
  } catch {
    return null
  }
  t.teardown(() => execFileSync('umount', ['-l', directory]))
  return directory
}

t.test('below the reserve events are refused, deliveries go on, and above it events are taken again', async (t) => {
  const directory = smallDisk(t, '20m')
  if (directory === null) return t.plan(0, 'mounting a small tmpfs needs root')
  const [crm, ops] = [await service(t, false), await httpServer(t, (response) => response.end())]
  const config = writeConfig(directory, {
    sources,
    targets: {
      crm: { ...crm.target, retryOn: [410], breaker: { failures: 1_000 } },
      ops: { type: 'http', url: ops.origin },
    },
    routes: [
      { events: ['call.*'], to: ['crm'] },
      { events: ['relay.outbox.*'], to: ['ops'] },
    ],
    retry: { initialDelay: '100ms', maxDelay: '200ms' },
    outbox: { path: './relay.db', reserve: '8mb' },
  })
  const relay = await startRelay(t, config)
  const url = `${relay.origin}/webhooks/ultravox`
  t.equal((await send(url, bodyOf('call.ended', 'before'))).status, 204)
  const ballast = join(directory, 'ballast')
  writeFileSync(ballast, Buffer.alloc(13 * 1024 ** 2))
  await eventually(() => ops.received.length === 1, 'it is told')
  const [refused, stale] = await Promise.all([
    send(url, bodyOf('call.ended', 'refused')),
    send(url, bodyOf('call.ended', 'stale'), { signedAt: Date.now() - 3_600_000 }),
  ])
  for (const answer of [refused, stale]) {
    t.match(answer, { status: 503, headers: { 'retry-after': /^\d+$/ }, text: /outbox_unavailable/ })
  }
  // The answer may be there before the line.
  const refusal = () => relay.log.find(({ msg, status }) => msg === 'request refused' && status === 503)
  await eventually(() => refusal() !== undefined, 'it is logged')
  t.match(refusal(), {
    reason: 'outbox_unavailable',
    detail: /\dmb left on the file system of the outbox, and outbox\.reserve is 8mb/,
  })
  t.match((await commandsIn(directory).run('status')).stdout, /less than outbox\.reserve: no events are taken/)
  crm.state.up = true
  await eventually(
    () => valueIn(directory, "select state from delivery_log where call_id = 'before'") === 'delivered',
    'deliveries go on',
  )
  rmSync(ballast)
  await eventually(async () => (await send(url, bodyOf('call.ended', 'after'))).status === 204, 'it recovers by itself')
  await eventually(() => crm.received.some(({ headers }) => headers['x-relay-call-id'] === 'after'), 'all the way')
  const recovered = () => relay.log.some(({ msg }) => msg === 'disk above outbox.reserve again, events are taken')
  await eventually(recovered, 'that is logged too')
  t.equal(valueIn(directory, "select count(*) from event_log where call_id = 'refused'"), 0)
  t.ok(existsSync(join(directory, 'relay.db')))
  t.equal((await relay.end('SIGTERM')).code, 0)
})
