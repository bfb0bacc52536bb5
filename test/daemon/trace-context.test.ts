import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { spanIdOf, traceIdOf } from '../../src/domain/trace-context.ts'
import { eventually } from '../eventually.ts'
import { httpServer, type Received } from '../local-server.ts'
import { scratch } from '../scratch.ts'
import { adminAddress, adminClient } from './admin-client.ts'
import { commandsIn, type Row, sources } from './operator-commands.ts'
import { startRelay, writeConfig } from './relay-process.ts'
import { bodyOf, send } from './ultravox-sender.ts'

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const SPAN = '00f067aa0ba902b7'
const SENT = `00-${TRACE}-${SPAN}-01`
const VALID = /^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$/

const traceparentOf = ({ headers }: Received) => headers.traceparent as string

/** A relay with each kind of target, all of which get everything. */
async function running(t: Test, answer: (received: readonly Received[]) => number = () => 200) {
  const directory = scratch(t)
  const crm = await httpServer(t, (response) => response.writeHead(answer(crm.received)).end())
  const slack = await httpServer(t, (response) => response.end('ok'))
  const hook = join(directory, 'hook.sh')
  writeFileSync(
    hook,
    '#!/bin/sh\ncat > /dev/null\nenv > "$RELAY_EVENT_ID.part" && mv "$RELAY_EVENT_ID.part" "$RELAY_EVENT_ID.env"\n',
  )
  chmodSync(hook, 0o755)
  const config = {
    sources,
    targets: {
      crm: { type: 'http', url: crm.origin, sign: { scheme: 'ultravox', secrets: ['inner-long-enough-secret'] } },
      ops: { type: 'slack', webhookUrl: `${slack.origin}/services/T/B/x` },
      archive: { type: 'exec', command: ['./hook.sh'] },
    },
    routes: [{ events: ['*'], to: ['crm', 'ops', 'archive'] }],
    retry: { initialDelay: '20ms', maxDelay: '50ms' },
    admin: { listen: '127.0.0.1:0' },
  }
  const file = writeConfig(directory, config)
  const relay = await startRelay(t, file)
  const post = (headers: Record<string, string> = {}, body = bodyOf('call.ended')) =>
    send(`${relay.origin}/webhooks/ultravox`, body, { headers })
  async function hooked(eventId: unknown): Promise<Record<string, string>> {
    const file = join(directory, `${eventId}.env`)
    await eventually(() => existsSync(file), 'the hook has run')
    const lines = readFileSync(file, 'utf8').trim().split('\n')
    return Object.fromEntries(lines.map((line) => line.split(/=(.*)/s, 2)))
  }
  return { directory, config, file, relay, crm, slack, post, hooked, ...commandsIn(directory) }
}

t.test('a trace that comes in goes on to services and hooks, each attempt with a place of its own', async (t) => {
  const { relay, crm, slack, post, hooked, json, run } = await running(t)
  t.equal((await post({ traceparent: SENT, tracestate: 'congo=t61rcWkgMzE, rojo=1' })).status, 204)
  await eventually(() => crm.received.length === 1 && slack.received.length === 1, 'delivered')
  const [received] = crm.received
  t.equal(traceIdOf(traceparentOf(received!)), TRACE)
  t.equal(traceparentOf(received!).slice(-3), '-01', 'as sampled as it was')
  t.equal(received!.headers.tracestate, 'congo=t61rcWkgMzE, rojo=1')
  t.match(received!.headers['x-ultravox-webhook-signature'], /^[0-9a-f]{64}$/)

  const eventId = received!.headers['webhook-id']
  const env = await hooked(eventId)
  t.equal(traceIdOf(env.TRACEPARENT!), TRACE)
  t.equal(env.TRACESTATE, 'congo=t61rcWkgMzE, rojo=1')
  const places = [SENT, traceparentOf(received!), env.TRACEPARENT!].map(spanIdOf)
  t.equal(new Set(places).size, 3)

  t.notOk('traceparent' in slack.received[0]!.headers, 'not to a service that is none of ours')
  t.notOk('tracestate' in slack.received[0]!.headers)

  await eventually(() => relay.log.filter(({ traceId }) => traceId === TRACE).length === 4, 'a request, three attempts')
  t.equal((await json(`events show ${eventId}`)).traceId, TRACE)
  t.match((await run(`events show ${eventId}`)).stdout, new RegExp(`^trace +${TRACE}$`, 'm'))
  const api = await adminClient(adminAddress(relay)).get(`/api/events/${eventId}`)
  t.equal((api.json() as Row).traceId, TRACE)
})

t.test(
  'without one, or with one or two that are none, a trace begins, the same for all targets of an event',
  async (t) => {
    const { crm, post, hooked } = await running(t)
    const bad = [
      {},
      { traceparent: `00-${'0'.repeat(32)}-${SPAN}-01`, tracestate: 'a=1' },
      { traceparent: `ff-${TRACE}-${SPAN}-01` },
      { traceparent: `00-${TRACE.toUpperCase()}-${SPAN}-01` },
      { traceparent: 'x'.repeat(55) },
      { tracestate: 'a=1' },
    ]
    const seen = new Set<string>()
    for (const [n, headers] of bad.entries()) {
      t.equal((await post(headers)).status, 204, 'that is no reason to refuse an event')
      await eventually(() => crm.received.length === n + 1, 'delivered')
      const received = crm.received[n]!
      t.match(traceparentOf(received), VALID)
      t.equal(traceparentOf(received).slice(-3), '-01', 'services that follow the flag go on recording')
      t.notOk('tracestate' in received.headers)
      const env = await hooked(received.headers['webhook-id'])
      t.equal(traceIdOf(env.TRACEPARENT!), traceIdOf(traceparentOf(received)))
      t.notOk('TRACESTATE' in env)
      seen.add(traceIdOf(traceparentOf(received)))
    }
    t.equal(seen.size, bad.length)
    t.notOk(seen.has(TRACE))

    // Two of them in one request, of which either might be meant.
    const second = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`
    t.equal((await post({ traceparent: SENT, Traceparent: second })).status, 204)
    await eventually(() => crm.received.length === bad.length + 1, 'delivered')
    t.notOk([TRACE, 'a'.repeat(32)].includes(traceIdOf(traceparentOf(crm.received.at(-1)!))))
  },
)

t.test('attempts, restarts, retries and replays stay in the trace, each with a place of its own', async (t) => {
  const { relay, crm, post, file, run, deliveries } = await running(t, (all) => (all.length < 3 ? 503 : 410))
  await post({ traceparent: SENT, tracestate: 'a=1' })
  await eventually(async () => (await deliveries('--target crm --state dead')).length === 1, 'three attempts')
  await relay.end('SIGTERM')
  await startRelay(t, file)
  t.match(await run('deliveries retry --target crm --yes'), { code: 0 })
  await eventually(() => crm.received.length === 4, 'tried anew by the next run')
  await eventually(async () => (await deliveries('--target crm --state dead')).length === 1, 'it has ended')
  t.match(await run(`events replay ${crm.received[0]!.headers['webhook-id']} --to crm --yes`), { code: 0 })
  await eventually(() => crm.received.length === 5, 'replayed')
  t.same(new Set(crm.received.map((each) => traceIdOf(traceparentOf(each)))), new Set([TRACE]))
  t.equal(new Set(crm.received.map((each) => spanIdOf(traceparentOf(each)))).size, 5)
  t.same(new Set(crm.received.map(({ headers }) => headers.tracestate)), new Set(['a=1']))
})

t.test('what the relay tells of itself, and what is admitted by hand, begins a trace', async (t) => {
  const directory = scratch(t)
  const crm = await httpServer(t, (response, { headers }) =>
    response.writeHead(headers['x-relay-event'] === 'call.ended' ? 410 : 200).end(),
  )
  const { run } = commandsIn(directory)
  const target = { type: 'http', url: crm.origin, ordered: 'call' }
  const config = { sources, targets: { crm: target }, routes: [{ events: ['*', 'relay.*'], to: ['crm'] }] }
  const relay = await startRelay(t, writeConfig(directory, config))
  const url = `${relay.origin}/webhooks/ultravox`
  await send(url, bodyOf('call.ended', 'one'), { headers: { traceparent: SENT } })
  const of = (event: string) => crm.received.find(({ headers }) => headers['x-relay-event'] === event)
  await eventually(() => of('relay.delivery.dead') !== undefined, 'it has told of the dead one')
  t.match(traceparentOf(of('relay.delivery.dead')!), VALID)
  t.not(traceIdOf(traceparentOf(of('relay.delivery.dead')!)), TRACE)

  await send(url, bodyOf('call.billed', 'one'), { signedAt: Date.now() - 3_600_000, headers: { traceparent: SENT } })
  t.match(await run('rejections admit --since 1d --yes'), { code: 0 })
  await eventually(() => of('call.billed') !== undefined, 'it is admitted')
  t.match(traceparentOf(of('call.billed')!), VALID)
})
