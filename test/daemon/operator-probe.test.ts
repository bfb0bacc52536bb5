import t from 'tap'
import { eventually } from '../eventually.ts'
import { httpServer } from '../local-server.ts'
import { scratch } from '../scratch.ts'
import { adminAddress, adminClient } from './admin-client.ts'
import { commandsIn, fill, sources } from './operator-commands.ts'
import { startRelay, writeConfig } from './relay-process.ts'

t.test('targets probe makes one attempt now, in spite of an open circuit and backoff', async (t) => {
  const directory = scratch(t)
  const { run, json, target } = commandsIn(directory)
  const state = { status: 503 }
  const { origin, received } = await httpServer(t, (response) => response.writeHead(state.status).end('busy'))
  const config = writeConfig(directory, {
    sources,
    admin: { listen: '127.0.0.1:0' },
    targets: {
      crm: {
        type: 'http',
        url: origin,
        concurrency: 1,
        retry: { initialDelay: '1h' },
        breaker: { failures: 2, cooldown: '1h', maxCooldown: '2h' },
      },
      idle: { type: 'http', url: origin },
    },
    routes: [{ events: ['*'], to: ['crm', 'idle'] }],
  })
  await fill(directory, [{}, {}], ['crm'])
  t.match(await run('targets probe crm'), { code: 4, stderr: /no relay is running/ })
  const relay = await startRelay(t, config)
  await eventually(async () => (await target('crm'))?.breaker === 'open', 'the circuit is open')
  t.equal(received.length, 2)

  const failed = await run('targets probe crm')
  t.match(failed, {
    code: 1,
    stdout:
      /^crm did not accept delivery \d+ \(call\.ended\): status 503, \d+ ms\n.*503.*\ncircuit open, probe in [^,]+, 2 deliveries pending\n$/,
  })
  t.equal(received.length, 3, 'one attempt')

  state.status = 200
  const admin = adminClient(adminAddress(relay))
  const { status, json: answer } = await admin.post('/api/targets/crm/probe')
  t.equal(status, 200)
  t.match(answer(), { outcome: 'attempted', breaker: 'closed', attempt: { outcome: 'delivered', status: 200 } })
  t.match(await json('targets probe crm'), { outcome: 'attempted', pending: 0, delivery: { state: 'delivered' } })
  t.equal(received.length, 5)

  t.match(await run('targets probe crm'), { code: 1, stdout: /nothing is pending for crm.*targets test crm/ })
  t.match(await run('targets probe cmr'), { code: 2, stderr: /did you mean "crm"/ })
  await run('targets pause idle')
  t.match(await run('targets probe idle'), { code: 1, stdout: /idle is paused.*targets resume idle/ })
  t.match(await admin.post('/api/targets/nope/probe'), { status: 404 })
})
