import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { eventually } from '../eventually.ts'
import { httpServer } from '../local-server.ts'
import { scratch } from '../scratch.ts'
import { startRelay, writeConfig } from './relay-process.ts'
import { bodyOf, SECRET, send } from './ultravox-sender.ts'

const sources = { ultravox: { scheme: 'ultravox', secrets: [SECRET] } }
const quickRetry = { initialDelay: '50ms', factor: 2, maxDelay: '200ms' }

function query(directory: string, sql: string): Record<string, unknown>[] {
  const database = openDatabase(join(directory, 'relay.db'), { readonly: true })
  try {
    return database.prepare(sql).all() as Record<string, unknown>[]
  } finally {
    database.close()
  }
}

t.test('an event reaches each kind of target, and the outbox tells of it', async (t) => {
  const directory = scratch(t)
  const crm = await httpServer(t, (response) => response.writeHead(200).end('thanks'))
  const slack = await httpServer(t, (response) => response.end('ok'))
  const hook = join(directory, 'hook.sh')
  writeFileSync(hook, '#!/bin/sh\ncat > "$RELAY_CALL_ID.json"\necho "kept $RELAY_EVENT"\n')
  chmodSync(hook, 0o755)
  const config = writeConfig(directory, {
    sources,
    targets: {
      crm: {
        type: 'http',
        url: `${crm.origin}/hooks/calls`,
        sign: { scheme: 'ultravox', secrets: ['inner-long-enough-secret'] },
      },
      ops: { type: 'slack', webhookUrl: `${slack.origin}/services/T/B/x` },
      archive: { type: 'exec', command: ['./hook.sh'] },
      unjoined: { type: 'http', url: `${crm.origin}/unjoined` },
    },
    routes: [
      { events: ['call.*'], to: ['crm', 'ops', 'archive'] },
      { events: ['call.ended'], when: "call.endReason = 'unjoined'", to: ['unjoined'] },
    ],
  })
  const relay = await startRelay(t, config)
  const body = bodyOf('call.ended', 'call-1')

  const answer = await send(`${relay.origin}/webhooks/ultravox`, body)
  t.equal(answer.status, 204)
  t.equal(answer.text, '')
  await eventually(
    () => query(directory, "select 1 from delivery_log where state = 'delivered'").length === 3,
    'three deliveries',
  )

  const [received] = crm.received
  t.same(received!.body, body, 'byte for byte')
  t.equal(received!.headers['x-relay-call-id'], 'call-1')
  t.match(received!.headers['x-ultravox-webhook-signature'], /^[0-9a-f]{64}$/)
  t.match(slack.received[0]!.body.toString(), /Call ended/)
  t.same(readFileSync(join(directory, 'call-1.json')), body)
  t.equal(crm.received.length, 1, 'the condition kept it from the other target')

  const [event] = query(directory, 'select * from event_log')
  t.match(event, { source: 'ultravox', event: 'call.ended', call_id: 'call-1', duplicates: 0, body: body.toString() })
  t.equal(received!.headers['webhook-id'], event!.event_id)
  t.match(query(directory, "select * from attempt_log where target in ('crm', 'archive') order by target"), [
    { target: 'archive', attempt: 1, outcome: 'delivered', status: 0, response: /kept call\.ended/ },
    { target: 'crm', attempt: 1, outcome: 'delivered', status: 200, response: 'thanks' },
  ])
  t.equal((await relay.end('SIGTERM')).code, 0)
})

t.test('a failing target is tried again until it takes the event, or is given up; a refusal is final', async (t) => {
  const directory = scratch(t)
  const crm = await httpServer(t, (response) => response.writeHead(crm.received.length < 3 ? 503 : 200).end('busy'))
  const down = await httpServer(t, (response, { url }) => response.writeHead(url === '/gone' ? 410 : 500).end('no'))
  const config = writeConfig(directory, {
    sources,
    targets: {
      broken: { type: 'http', url: `${down.origin}/broken`, retry: { maxAttempts: 2 } },
      crm: { type: 'http', url: crm.origin },
      gone: { type: 'http', url: `${down.origin}/gone` },
    },
    routes: [{ events: ['call.*'], to: ['broken', 'crm', 'gone'] }],
    retry: quickRetry,
  })
  const relay = await startRelay(t, config)
  await send(`${relay.origin}/webhooks/ultravox`, bodyOf('call.ended'))
  const ended = () => query(directory, "select 1 from delivery_log where state in ('delivered', 'dead')").length
  await eventually(() => ended() === 3, 'all have ended')

  t.same(
    crm.received.map(({ headers }) => headers['x-relay-attempt']),
    ['1', '2', '3'],
  )
  t.equal(new Set(crm.received.map(({ headers }) => headers['webhook-id'])).size, 1, 'with the same id')
  t.match(query(directory, "select * from attempt_log where target = 'crm' order by attempt"), [
    { outcome: 'failed', status: 503, error: 'http 503', response: 'busy' },
    { outcome: 'failed', status: 503 },
    { outcome: 'delivered', status: 200 },
  ])
  const attempted = () => relay.log.filter(({ msg, target }) => msg === 'delivery attempted' && target === 'crm')
  await eventually(() => attempted().length === 3, 'three lines')
  t.match(attempted(), [
    { level: 'warn', target: 'crm', attempt: 1, outcome: 'failed', state: 'pending' },
    { level: 'warn', attempt: 2 },
    { level: 'info', attempt: 3, outcome: 'delivered', state: 'delivered' },
  ])

  t.match(query(directory, 'select * from failed_deliveries order by target'), [
    { target: 'broken', state: 'dead', attempts: 2, last_status: 500, last_error: 'http 500', due_at: null },
    { target: 'gone', state: 'dead', attempts: 1, last_status: 410, last_error: 'http 410' },
  ])
  t.equal((await relay.end('SIGINT')).code, 0)
})

t.test(
  'a refused request is on record with its reason, a stale one with its body; a second daemon is refused too',
  async (t) => {
    const directory = scratch(t)
    const config = writeConfig(directory, {
      sources,
      targets: { sink: { type: 'exec', command: ['cat'] } },
      routes: [{ events: ['*'], to: ['sink'] }],
    })
    const relay = await startRelay(t, config)
    const url = `${relay.origin}/webhooks/ultravox`
    const stale = bodyOf('call.ended')
    t.match(await send(url, bodyOf('call.ended'), { secret: 'wrong' }), { status: 401, text: /signature_mismatch/ })
    t.match(await send(url, stale, { signedAt: Date.now() - 300_000 }), { status: 401, text: /timestamp_stale/ })
    t.match(await send(url, Buffer.from('[]')), { status: 400, text: /payload_invalid/ })
    await eventually(() => query(directory, 'select 1 from rejection_log').length === 3, 'three rejections')
    t.match(query(directory, 'select * from rejection_log order by reason'), [
      { reason: 'payload_invalid', body: '[]', peer: '127.0.0.1', source: 'ultravox', bytes: 2 },
      { reason: 'signature_mismatch', body: null },
      { reason: 'timestamp_stale', body: stale.toString() },
    ])
    t.same(query(directory, 'select * from event_log'), [])

    await t.rejects(startRelay(t, config), { message: /ended with 1 .*another relay is running on the outbox/s })
    t.equal((await send(url, bodyOf('call.ended'))).status, 204, 'and the first goes on')
  },
)

t.test('on SIGTERM a running attempt may end, and what has not ended is delivered by the next run', async (t) => {
  const directory = scratch(t)
  let release = () => {}
  const slow = await httpServer(t, (response) => {
    release = () => response.end('at last')
  })
  const write = (shutdownTimeout: string) =>
    writeConfig(directory, {
      sources,
      server: { listen: '127.0.0.1:0', shutdownTimeout },
      targets: { slow: { type: 'http', url: slow.origin, concurrency: 1 } },
      routes: [{ events: ['*'], to: ['slow'] }],
    })
  const states = () => query(directory, 'select state, attempts from delivery_log order by delivery_id')

  const first = await startRelay(t, write('30s'))
  await send(`${first.origin}/webhooks/ultravox`, bodyOf('call.started', 'a'))
  await eventually(() => slow.received.length === 1, 'the attempt runs')
  const ending = first.end('SIGTERM')
  await eventually(() => first.log.some(({ msg }) => msg === 'relay stopping'), 'it stops')
  release()
  t.equal((await ending).code, 0)
  t.same(states(), [{ state: 'delivered', attempts: 1 }])

  const second = await startRelay(t, write('200ms'))
  await send(`${second.origin}/webhooks/ultravox`, bodyOf('call.ended', 'a'))
  await eventually(() => slow.received.length === 2, 'the attempt runs')
  t.equal((await second.end('SIGTERM')).code, 0)
  t.match(states()[1], { state: 'pending', attempts: 0 }, 'cut short is not counted')

  const third = await startRelay(t, write('200ms'))
  await eventually(() => slow.received.length === 3, 'the next run takes it up')
  release()
  await eventually(() => states()[1]!.state === 'delivered', 'delivered')
  await third.end('SIGTERM')
})

t.test('a port that is taken is told, and nothing is left running', async (t) => {
  const directory = scratch(t)
  const other = await httpServer(t, (response) => response.end())
  const config = writeConfig(directory, {
    server: { listen: new URL(other.origin).host },
    sources,
    targets: { sink: { type: 'exec', command: ['cat'] } },
    routes: [{ events: ['*'], to: ['sink'] }],
  })
  await t.rejects(startRelay(t, config), { message: /ended with 1 .*cannot listen on 127.0.0.1:\d+: .*EADDRINUSE/s })
  t.ok(existsSync(join(directory, 'relay.db')))
})
