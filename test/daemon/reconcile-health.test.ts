import t from 'tap'
import { parseExposition } from '../admin/exposition.ts'
import { eventually } from '../eventually.ts'
import { adminAddress, adminClient } from './admin-client.ts'
import { lifeOf, liveThrough, surroundings } from './reconciled-relay.ts'
import { startRelay } from './relay-process.ts'

t.test(
  'calls that cannot be read are alerted, counted and shown until they can be, and give what they prove',
  async (t) => {
    const { api, config, delivered, alerts, json, run } = await surroundings(
      t,
      {},
      {},
      { admin: { listen: '127.0.0.1:0' } },
    )
    const created = new Date().toISOString()
    liveThrough(api, 'a')
    liveThrough(api, 'b')
    for (const callId of ['a', 'b'])
      api.calls.override(callId, { billingStatus: undefined, metadata: { name: 's3cr3t' } })
    api.calls.override('b', { created: 1_768_478_400 })
    const relay = await startRelay(t, config)
    const proven = [...lifeOf('a').slice(0, 3), ...lifeOf('b').slice(1, 3)]
    await eventually(() => delivered().length === proven.length, 'what the other fields prove is delivered')
    t.same(delivered().sort(), proven.sort())
    await eventually(() => alerts().length > 0, 'there is an alert')
    t.match(alerts(), [
      {
        event: 'relay.reconcile.unreadable',
        message:
          /^Ultravox lists 2 calls for source "ultravox" that cannot be read in full, such as [ab]: GET \/api\/calls: /,
        reconcile: {
          source: 'ultravox',
          list: 'calls',
          count: 2,
          callId: /^[ab]$/,
          field: /^(created|billingStatus)$/,
        },
      },
    ])
    t.notMatch(JSON.stringify(alerts()), /s3cr3t|1768478400/)

    const { get } = adminClient(adminAddress(relay))
    const gauge = async () =>
      parseExposition((await get('/metrics')).text).value('ultravox_relay_reconcile_unreadable_calls', {
        source: 'ultravox',
      })
    t.equal(await gauge(), 2)
    const status = await run('status')
    t.match(status.stdout, /^ +2 calls at Ultravox cannot be read in full, since /m)
    t.match(status.stdout, /^ +such as [ab]: GET \/api\/calls: results\.\d\.(created|billingStatus): /m)
    t.match((await json('status')).provider, [{ unreadable: [{ list: 'calls', count: 2, since: /Z$/ }] }])
    t.match(await run('doctor'), {
      code: 1,
      stdout: /^problem +source ultravox +2 calls at Ultravox cannot be read in full, such as [ab]: /m,
    })

    api.calls.override('a', { billingStatus: 'BILLING_STATUS_BILLED' })
    api.calls.override('b', { billingStatus: 'BILLING_STATUS_BILLED', created })
    await eventually(() => alerts().length > 1, 'it is over')
    t.same(
      alerts().map(({ event }) => event),
      ['relay.reconcile.unreadable', 'relay.reconcile.readable'],
      'each once',
    )
    await eventually(() => delivered().length === 8, 'and the rest is fetched')
    t.same(delivered().sort(), [...lifeOf('a'), ...lifeOf('b')].sort())
    await eventually(async () => (await gauge()) === 0, 'none is counted')
    t.notMatch((await run('status')).stdout, /cannot be read/)
    t.notMatch((await run('doctor')).stdout, /cannot be read/)
  },
)

t.test('a page that is no page is reported as a failure; what was listed before it is recorded', async (t) => {
  const { api, config, delivered, alerts, run } = await surroundings(t, { pageSize: 1 })
  liveThrough(api, 'a')
  liveThrough(api, 'b')
  let isBroken = true
  const when = ({ path, query }: { path: string; query: Record<string, string> }) =>
    isBroken && path === '/api/calls' && query.cursor !== undefined
  api.misbehave({ kind: 'answer', status: 200, body: '{"results":{}}' }, { times: 1_000, when })
  await startRelay(t, config)
  await eventually(() => alerts().length === 1, 'there is an alert')
  t.match(alerts()[0], { event: 'relay.reconcile.failing', message: /the answer is not as expected: results: / })
  t.same(delivered().sort(), lifeOf('b').sort())
  t.match((await run('doctor')).stdout, /^problem +source ultravox +GET \/api\/calls failed at .+ times in a row: /m)
  isBroken = false
  await eventually(() => delivered().length === 8, 'it goes on')
  t.same(delivered().sort(), [...lifeOf('a'), ...lifeOf('b')].sort())
})
