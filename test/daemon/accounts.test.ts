import t from 'tap'
import { eventually } from '../eventually.ts'
import { httpServer } from '../local-server.ts'
import { scratch } from '../scratch.ts'
import { API_KEY, createFakeApi } from '../ultravox/fake-api.ts'
import { commandsIn, type Row } from './operator-commands.ts'
import { startRelay, writeConfig } from './relay-process.ts'
import { bodyOf, SECRET, send } from './ultravox-sender.ts'

const clock = { now: () => Date.now() }
const OTHER = 'whsec_of_the_callbacks_7f21'

t.test(
  'an event through the webhook and through a callback is delivered once, to every target of both sources',
  async (t) => {
    const sink = await httpServer(t, (response) => response.end())
    const target = (name: string) => ({ type: 'http', url: `${sink.origin}/${name}` })
    const directory = scratch(t)
    const config = writeConfig(directory, {
      sources: {
        webhook: { scheme: 'ultravox', secrets: [SECRET] },
        callbacks: { scheme: 'ultravox', secrets: [OTHER] },
        open: { scheme: 'none' },
      },
      targets: { crm: target('crm'), billing: target('billing'), open: target('open') },
      routes: [
        { events: ['call.*'], source: ['webhook', 'callbacks'], to: ['crm'] },
        { events: ['call.*'], source: 'callbacks', to: ['billing'] },
        { events: ['call.*'], source: 'open', to: ['open'] },
      ],
    })
    const { json } = commandsIn(directory)
    const relay = await startRelay(t, config)
    const body = bodyOf('call.ended', 'one-call')
    const sent = [
      await send(`${relay.origin}/webhooks/open`, body),
      await send(`${relay.origin}/webhooks/webhook`, body),
      await send(`${relay.origin}/webhooks/callbacks`, body, { secret: OTHER }),
      await send(`${relay.origin}/webhooks/callbacks`, body, { secret: OTHER }),
      await send(`${relay.origin}/webhooks/webhook`, body),
    ]
    t.same(
      sent.map(({ status }) => status),
      [204, 204, 204, 204, 204],
    )
    await eventually(() => sink.received.length === 3, 'each target is reached')
    const { events } = await json('events list --call one-call')
    t.same((events as Row[]).map(({ source, duplicates }) => [source, duplicates]).sort(), [
      ['open', 0],
      ['webhook', 3],
    ])
    await eventually(async () => {
      const { deliveries } = await json('deliveries list --call one-call')
      return (deliveries as Row[]).every(({ state }) => state === 'delivered')
    }, 'all are settled')
    t.same(sink.received.map(({ url }) => url).sort(), ['/billing', '/crm', '/open'])
    const ids = sink.received.filter(({ url }) => url !== '/open').map(({ headers }) => headers['webhook-id'])
    t.equal(new Set(ids).size, 1, 'one event, one webhook-id')
  },
)

t.test('each of several accounts is reconciled by its own key, and serves its own attachments', async (t) => {
  const [sales, support] = [await createFakeApi(t, { clock }), await createFakeApi(t, { clock, apiKey: 'support-key' })]
  const sink = await httpServer(t, (response) => response.end())
  const directory = scratch(t)
  const account = (name: string, apiKey: string, baseUrl: string) => ({
    account: name,
    apiKey,
    baseUrl,
    reconcile: { every: '1s', lookback: '1h', grace: '0s', source: name },
  })
  const config = writeConfig(directory, {
    sources: {
      sales: { scheme: 'ultravox', secrets: [SECRET], account: 'sales' },
      support: { scheme: 'ultravox', secrets: [OTHER], account: 'support' },
    },
    targets: { crm: { type: 'http', url: sink.origin, attach: ['transcript'] } },
    routes: [{ events: ['call.ended'], to: ['crm'] }],
    ultravox: [account('sales', API_KEY, sales.baseUrl), account('support', 'support-key', support.baseUrl)],
  })
  const { json, run } = commandsIn(directory)
  for (const [api, callId] of [
    [sales, 'of-sales'],
    [support, 'of-support'],
  ] as const) {
    api.calls.create({ callId })
    api.calls.addMessage(callId, { text: `said in ${callId}` })
    api.calls.join(callId)
    api.calls.end(callId)
  }
  await startRelay(t, config)
  await eventually(() => sink.received.length === 2, 'both calls are fetched')
  const got = sink.received.map(({ body }) => JSON.parse(body.toString()) as Row & { attached: { transcript: Row[] } })
  t.same(got.map(({ attached }) => attached.transcript.map(({ text }) => text)).sort(), [
    ['said in of-sales'],
    ['said in of-support'],
  ])
  const { events } = await json('events list --event call.ended')
  t.same((events as Row[]).map(({ source, callId }) => [source, callId]).sort(), [
    ['sales', 'of-sales'],
    ['support', 'of-support'],
  ])
  const reconciled = async () => ((await json('status')).provider as Row[]).map(({ source }) => source).sort()
  // The state of an account is on record when its sweep has ended.
  await eventually(async () => (await reconciled()).length === 2, 'both sweeps end')
  t.same(await reconciled(), ['sales', 'support'])

  t.match(await run('webhooks list'), {
    code: 2,
    stderr: /several accounts are configured: pass --account, one of sales, support/,
  })
  t.match(await run('webhooks list --account suport'), {
    code: 2,
    stderr: /no account is named suport: there are sales, support/,
  })
  t.match(await run('webhooks list --account support'), { code: 0 })
  t.match(await run('backfill --from 1h --dry-run --account sales'), { code: 0, stdout: /1 call created/ })
  t.match(await run('doctor'), { stdout: /ultravox sales .+\n(.*\n)*.*ultravox support / })
})
