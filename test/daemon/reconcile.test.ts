import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { traceIdOf } from '../../src/domain/trace-context.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { eventually } from '../eventually.ts'
import { API_KEY } from '../ultravox/fake-api.ts'
import type { Row } from './operator-commands.ts'
import { LIFE, lifeOf, liveThrough, surroundings } from './reconciled-relay.ts'
import { startRelay } from './relay-process.ts'
import { bodyOf, SECRET, send } from './ultravox-sender.ts'

/** More of them find no more; `KILLS` in the environment makes them. */
const KILLS = Number(process.env.KILLS ?? 3)

t.test('what was missed while the relay was not there is fetched, delivered and told of', async (t) => {
  const { api, sink, config, delivered, alerts, json, run } = await surroundings(t)
  // A clock that was ahead has looked at it all already, as it seems.
  const outbox = await SqliteOutbox.open(join(dirname(config), 'relay.db'), (error) => t.fail(error.message))
  await outbox.saveSweep('ultravox', { completedUntil: Date.now() + 30 * 86_400_000, current: null }, Date.now())
  await outbox.close()
  liveThrough(api, 'missed')
  liveThrough(api, 'gone')
  api.calls.delete('gone')
  const relay = await startRelay(t, config)
  await eventually(() => delivered().length === 4, 'the events are delivered')
  t.same(delivered().sort(), lifeOf('missed').sort())
  const traces = sink.received.filter(({ url }) => url === '/crm').map(({ headers }) => headers.traceparent as string)
  t.equal(new Set(traces.map(traceIdOf)).size, 4, 'each begins a trace')
  const { events } = await json('events list --call missed')
  t.equal((events as Row[]).length, 4)
  const shown = await json(`events show ${(events as Row[])[0]!.eventId}`)
  t.equal(shown.origin, 'reconcile')

  await eventually(() => alerts().some(({ event }) => event === 'relay.reconcile.gap'), 'the gap is told of')
  const [gap] = alerts().filter(({ event }) => event === 'relay.reconcile.gap')
  t.match(gap, { message: /^3 events never came to source "ultravox"/, gap: { count: 3 } })
  t.same(((await json('events gaps')).gaps as Row[]).map(({ event, callId }) => `${event} ${callId}`).sort(), [
    'call.ended gone',
    'call.joined gone',
    'call.started gone',
  ])

  // One of its webhooks comes after all.
  await send(`${relay.origin}/webhooks/ultravox`, bodyOf('call.ended', 'gone'))
  t.equal(((await json('events gaps')).gaps as Row[]).length, 2)

  // From now on it is there, and no webhook comes.
  api.calls.create({ callId: 'silent' })
  await eventually(() => delivered().includes('call.started silent'), 'it is fetched')
  await eventually(() => alerts().some(({ event }) => event === 'relay.source.silent'), 'the silence is told of')
  const [silence] = alerts().filter(({ event }) => event === 'relay.source.silent')
  t.match(silence, { missed: { count: 1, events: [{ event: 'call.started', callId: 'silent' }] } })

  const { stdout } = await run('status')
  t.match(
    stdout,
    /^provider source ultravox reconciled .+ ago: 2 calls looked at, \d events? fetched; 5 fetched in all$/m,
  )
  t.match(stdout, /^ +2 events can never be had: events gaps$/m)
  t.match((await json('status')).provider, [{ source: 'ultravox', fetched: 5, gaps: 2, problem: null, webhook: null }])
  await relay.end('SIGTERM')
  t.notMatch(JSON.stringify(relay.log), new RegExp(API_KEY))
})

t.test('a webhook that comes late is a duplicate, and one that has come needs no fetching', async (t) => {
  const { api, config, delivered, json } = await surroundings(t)
  const relay = await startRelay(t, config)
  api.webhooks.create({ url: `${relay.origin}/webhooks/ultravox`, secrets: [SECRET], events: LIFE })
  liveThrough(api, 'late')
  await eventually(() => delivered().length === 4, 'they are fetched')
  t.same(
    (await api.webhooks.sendAll()).map(({ status }) => status),
    [204, 204, 204, 204],
  )
  const { events } = await json('events list --call late')
  t.same(
    (events as Row[]).map(({ duplicates }) => duplicates),
    [1, 1, 1, 1],
  )
  t.equal(delivered().length, 4, 'nothing is delivered twice')
})

t.test('kill -9 at any moment of a sweep: nothing is missed, and nothing is there twice', async (t) => {
  const { api, config, delivered, json } = await surroundings(t, { pageSize: 4 })
  const calls = Array.from({ length: 60 }, (_, i) => `call-${i}`)
  for (const callId of calls) liveThrough(api, callId)
  let kill = () => {}
  let requests = 0
  let rounds = 0
  while (rounds < KILLS) {
    rounds += 1
    const relay = await startRelay(t, config)
    const dieAt = requests + 1 + Math.floor(Math.random() * 5)
    const killed = new Promise<void>((resolve) => {
      kill = () =>
        void sleep(Math.random() * 10)
          .then(() => relay.end('SIGKILL'))
          .then(() => resolve())
    })
    api.beforeAnswer(() => {
      requests += 1
      if (requests === dieAt) kill()
    })
    await killed
  }
  api.beforeAnswer(() => {})
  const pages = api.requests.filter(({ path }) => path === '/api/calls').length
  const relay = await startRelay(t, config)
  await eventually(() => new Set(delivered()).size === calls.length * 4, 'all are delivered')
  const { events } = await json('events list --limit 1000')
  const stored = (events as Row[]).map(({ event, callId }) => `${event} ${callId}`)
  t.same(stored.sort(), calls.flatMap(lifeOf).sort(), 'each once')
  t.comment(`${rounds} kills; ${pages} pages asked for until the last of them, of 15`)
  await relay.end('SIGTERM')
})

t.test('a webhook that is not as it should be is told of once, over a restart too, and when it is again', async (t) => {
  // What is in the query may be a key.
  const url = 'https://relay.example.com/webhooks/ultravox?key=s3cr3t'
  const webhook = { url, source: 'ultravox', events: ['call.ended', 'call.billed'] }
  const { api, config, alerts, json, run } = await surroundings(t, {}, { webhook })
  const told = () => alerts().map(({ event }) => event)
  const looks = () => api.requests.filter(({ path }) => path === '/api/webhooks').length
  const first = await startRelay(t, config)
  await eventually(() => told().includes('relay.webhook.missing'), 'it is missing')
  await eventually(() => looks() > 1, 'that was noted')
  await first.end('SIGTERM')
  const before = looks()
  const second = await startRelay(t, config)
  await eventually(() => looks() > before + 1, 'it is looked at anew after a restart')
  t.same(told(), ['relay.webhook.missing'], 'and not told again')
  t.match(await run('doctor'), { code: 1, stdout: /problem +ultravox +Ultravox has no webhook to https:\/\/relay/ })

  const { webhookId } = api.webhooks.create({ url, secrets: ['another'], events: ['call.ended'] })
  api.webhooks.setStatus(webhookId, 'unhealthy')
  const troubles = ['relay.webhook.unhealthy', 'relay.webhook.events_missing', 'relay.webhook.secrets_unknown']
  await eventually(() => troubles.every((event) => told().includes(event)), 'it is wrong in three ways')
  t.match((await run('status')).stdout, /is not registered for call\.billed: run webhooks ensure\.$/m)

  api.webhooks.patch(webhookId, { secrets: [SECRET], events: ['call.ended', 'call.billed'] })
  api.webhooks.setStatus(webhookId, 'normal')
  await eventually(() => told().includes('relay.webhook.restored'), 'all is well')
  t.same([...told()].sort(), ['relay.webhook.missing', 'relay.webhook.restored', ...troubles].sort(), 'each once')
  t.match((await json('status')).provider, [{ webhook: { problems: [] } }])
  t.match((await run('doctor')).stdout, /^ok +ultravox +the webhook to https:\/\/relay\S+ is as it should be$/m)
  const shown = [alerts(), first.log, second.log, (await run('doctor')).stdout, (await run('status --json')).stdout]
  t.notMatch(JSON.stringify(shown), 's3cr3t')
  t.match(alerts().at(-1), { webhook: { url: 'https://relay.example.com/webhooks/ultravox' } })
})

t.test('a provider that cannot be asked is told of once; deliveries go on', async (t) => {
  const { api, config, alerts, run } = await surroundings(t)
  api.misbehave({ kind: 'answer', status: 401 }, { times: 1_000 })
  const relay = await startRelay(t, config)
  await eventually(() => alerts().length === 1, 'it is told of')
  t.match(alerts()[0], { event: 'relay.reconcile.failing', message: /the API key was refused \(401\)/ })
  await eventually(
    () => relay.log.filter(({ msg }) => msg === 'Ultravox could not be asked').length > 2,
    'it is tried again',
  )
  t.equal(alerts().length, 1)
  t.match((await run('status')).stdout, /the last look failed .+ ago: GET \/api\/calls: the API key was refused/)
  t.match((await run('doctor')).stdout, /problem +ultravox +GET \/api\/webhooks: the API key was refused/)
})

t.test(
  'what goes wrong with the deleted calls stops neither the fetching nor the watch over the webhook',
  async (t) => {
    const webhook = { url: 'https://relay.example.com/webhooks/ultravox', source: 'ultravox' }
    const { api, config, delivered, alerts } = await surroundings(t, {}, { webhook })
    let works = false
    const when = ({ path }: { path: string }) => !works && path === '/api/deleted_calls'
    api.misbehave({ kind: 'answer', status: 403 }, { times: 1_000, when })
    const relay = await startRelay(t, config)
    await eventually(() => relay.log.some(({ msg }) => msg === 'Ultravox could not be asked'), 'it fails')
    t.notOk(
      alerts().some(({ event }) => event === 'relay.reconcile.failing'),
      'once is no news',
    )
    liveThrough(api, 'later')
    await eventually(() => delivered().length === 4, 'what has happened since is fetched')
    await eventually(() => alerts().some(({ event }) => event === 'relay.webhook.missing'), 'the webhook is looked at')
    const of = (name: string) => alerts().filter(({ event }) => event === name)
    await eventually(() => of('relay.reconcile.failing').length > 0, 'it is told of')
    t.match(of('relay.reconcile.failing'), [{ reconcile: { endpoints: [{ endpoint: 'GET /api/deleted_calls' }] } }])
    t.notMatch(of('relay.reconcile.failing')[0]!.message, 'GET /api/calls')
    t.match(of('relay.reconcile.failing')[0]!.message, /events lost with deleted calls are not reported: .*\(403\)/)
    works = true
    await eventually(() => of('relay.reconcile.recovered').length === 1, 'it is told that it works')
  },
)
