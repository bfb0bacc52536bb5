import { join } from 'node:path'
import t from 'tap'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { eventually } from '../eventually.ts'
import { httpServer, type Received } from '../local-server.ts'
import { scratch } from '../scratch.ts'
import { startRelay, writeConfig } from './relay-process.ts'
import { runCommand } from './run-command.ts'
import { bodyOf, SECRET, send } from './ultravox-sender.ts'

const source = { scheme: 'ultravox', secrets: [SECRET] }

function query(directory: string, sql: string): Record<string, unknown>[] {
  const database = openDatabase(join(directory, 'relay.db'), { readonly: true })
  try {
    return database.prepare(sql).all() as Record<string, unknown>[]
  } finally {
    database.close()
  }
}

const payloadOf = ({ body }: Received) => JSON.parse(body.toString()) as Record<string, unknown>

t.test('a dead delivery is told to the target of a route, and the death of what tells it is not told', async (t) => {
  const directory = scratch(t)
  const crm = await httpServer(t, (response) => response.writeHead(410).end('gone'))
  const ops = await httpServer(t, (response) => response.end())
  const pager = await httpServer(t, (response) => response.writeHead(410).end('gone'))
  const slack = await httpServer(t, (response) => response.end('ok'))
  const every = await httpServer(t, (response) => response.end('ok'))
  const config = writeConfig(directory, {
    sources: { ultravox: source, open: { scheme: 'none' } },
    targets: {
      crm: { type: 'http', url: crm.origin },
      every: { type: 'http', url: every.origin },
      chat: { type: 'slack', webhookUrl: every.origin },
      ops: { type: 'http', url: ops.origin },
      pager: { type: 'http', url: pager.origin },
      channel: { type: 'slack', webhookUrl: slack.origin },
    },
    routes: [
      { events: ['call.*'], to: ['crm'] },
      { events: ['*'], source: 'open', to: ['every', 'chat'] },
      { events: ['relay.*'], to: ['ops', 'pager', 'channel'] },
    ],
  })
  const relay = await startRelay(t, config)
  // Whatever an event from outside is called, it is one of its source.
  const posing = { event: 'relay.delivery.dead', count: 1, message: 'All is lost', delivery: { target: 'crm' } }
  await send(`${relay.origin}/webhooks/open`, Buffer.from(JSON.stringify(posing)))
  await eventually(() => every.received.length === 2, 'it goes where its source goes')
  t.match(
    every.received.map(payloadOf).find(({ text }) => text !== undefined),
    { text: '*relay.delivery.dead*' },
  )
  await send(`${relay.origin}/webhooks/ultravox`, bodyOf('call.ended', 'call-1'))
  await eventually(() => ops.received.length === 1 && slack.received.length === 1, 'it is told')
  const [call] = query(directory, "select * from event_log where event = 'call.ended'")
  t.match(payloadOf(ops.received[0]!), {
    event: 'relay.delivery.dead',
    count: 1,
    message: 'A delivery of call.ended to target "crm" is dead after 1 attempt: http 410',
    delivery: { target: 'crm', eventId: call!.event_id, callId: 'call-1', attempts: 1, status: 410, error: 'http 410' },
  })
  t.match(ops.received[0]!.headers, { 'x-relay-event': 'relay.delivery.dead', 'x-relay-source': 'relay' })
  const { deliveryId } = (payloadOf(ops.received[0]!) as { delivery: { deliveryId: number } }).delivery
  t.equal(
    payloadOf(slack.received[0]!).text,
    `*Delivery dead* · crm
> A delivery of call.ended to target "crm" is dead after 1 attempt: http 410
delivery ${deliveryId}, call \`call-1\`
Next: \`ultravox-relay deliveries show ${deliveryId}\``,
  )
  const next = String(payloadOf(ops.received[0]!).next).replace(/^ultravox-relay /, '')
  t.match(await runCommand(next.split(' '), directory), { code: 0, stdout: /410/ }, 'the command can be pasted')

  await eventually(() => query(directory, "select 1 from delivery_log where state = 'dead'").length === 2, 'both dead')
  t.match(query(directory, 'select * from failed_deliveries order by target'), [
    { target: 'crm', event: 'call.ended' },
    { target: 'pager', event: 'relay.delivery.dead' },
  ])
  // A second death is folded; a clean stop records it all the same. Were the pager's own death told, it would be too.
  await send(`${relay.origin}/webhooks/ultravox`, bodyOf('call.ended', 'call-2'))
  await eventually(() => crm.received.length === 2, 'tried')
  t.equal((await relay.end('SIGTERM')).code, 0)
  const told = query(
    directory,
    "select source, origin, body from event_log where source = 'relay' order by received_at",
  )
  t.match(told, [{ source: 'relay', origin: 'relay' }, { source: 'relay' }])
  t.match(
    told.map(({ body }) => JSON.parse(body as string)),
    [{ delivery: { callId: 'call-1' } }, { count: 1, delivery: { callId: 'call-2', target: 'crm' } }],
  )
})

t.test('a target that keeps failing is told of, and told of again when it answers', async (t) => {
  const directory = scratch(t)
  let well = false
  const crm = await httpServer(t, (response) => response.writeHead(well ? 200 : 503).end())
  const ops = await httpServer(t, (response) => response.end())
  const config = writeConfig(directory, {
    sources: { ultravox: source },
    targets: {
      crm: { type: 'http', url: crm.origin, breaker: { failures: 2, cooldown: '200ms' } },
      ops: { type: 'http', url: ops.origin },
    },
    routes: [
      { events: ['call.*'], to: ['crm'] },
      { events: ['relay.target.*'], to: ['ops'] },
    ],
    retry: { initialDelay: '20ms', factor: 1, maxDelay: '20ms' },
  })
  const relay = await startRelay(t, config)
  for (const event of ['call.started', 'call.ended']) await send(`${relay.origin}/webhooks/ultravox`, bodyOf(event))
  await eventually(() => ops.received.length === 1, 'opened')
  well = true
  await eventually(() => ops.received.length === 2, 'closed')
  t.match(ops.received.map(payloadOf), [
    { event: 'relay.target.opened', target: { name: 'crm', probeAt: /Z$/ } },
    { event: 'relay.target.closed', target: { name: 'crm' } },
  ])
})

t.test('a silent source and an old backlog are told of', async (t) => {
  const directory = scratch(t)
  const ops = await httpServer(t, (response) => response.end())
  const config = writeConfig(directory, {
    delivery: { alertAfter: '1s' },
    sources: { ultravox: { ...source, expectWithin: '2s' }, quiet: { ...source, expectWithin: '1h' } },
    targets: {
      ops: { type: 'http', url: ops.origin },
      stuck: { type: 'http', url: 'http://127.0.0.1:1/', paused: true },
    },
    routes: [
      { events: ['call.*'], to: ['stuck'] },
      { events: ['relay.*'], to: ['ops'] },
    ],
  })
  const relay = await startRelay(t, config)
  const told = (event: string) => ops.received.map(payloadOf).find((payload) => payload.event === event)
  await send(`${relay.origin}/webhooks/ultravox`, bodyOf('call.ended'))
  await eventually(() => ops.received.length >= 2, 'the others')
  t.match(told('relay.source.silent'), { source: { name: 'ultravox', expectWithinMs: 2_000, lastEventAt: /Z$/ } })
  t.match(told('relay.backlog.old'), { target: { name: 'stuck', alertAfterMs: 1_000, oldestDueAt: /Z$/ } })
  t.equal((await relay.end('SIGTERM')).code, 0)
  t.equal(ops.received.length, 2, 'each once')

  // A restart repeats neither, and knows which of them the next event ends.
  const again = await startRelay(t, config)
  await send(`${again.origin}/webhooks/ultravox`, bodyOf('call.ended', 'after-the-restart'))
  await eventually(() => told('relay.source.resumed') !== undefined, 'it is heard again')
  const names = ops.received.map((each) => payloadOf(each).event)
  const before = names.slice(0, names.indexOf('relay.source.resumed'))
  t.same(before.sort(), ['relay.backlog.old', 'relay.source.silent'])
})
