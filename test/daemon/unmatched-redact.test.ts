import t from 'tap'
import { Pool } from 'undici'
import { eventually } from '../eventually.ts'
import { httpServer } from '../local-server.ts'
import { scratch } from '../scratch.ts'
import { startRelay, writeConfig } from './relay-process.ts'

t.test('a redact path that matches nothing is a warning in the log, one that matches is not', async (t) => {
  const crm = await httpServer(t, (response) => response.end())
  const redact = ['call.metadata.ultravox.sip.caller_id', 'call.metadta.callerId']
  const config = writeConfig(scratch(t), {
    sources: { open: { scheme: 'none' } },
    targets: { crm: { type: 'http', url: crm.origin, concurrency: 16, redact } },
    routes: [{ events: ['*'], to: ['crm'] }],
  })
  const relay = await startRelay(t, config)
  const pool = new Pool(relay.origin, { connections: 16 })
  t.teardown(() => pool.close())
  const bodies = Array.from({ length: 1_001 }, (_, index) =>
    JSON.stringify({
      event: 'call.ended',
      call: { callId: `c-${index}`, metadata: { 'ultravox.sip.caller_id': '+4930' } },
    }),
  )
  await Promise.all(
    bodies.map(async (body) => (await pool.request({ method: 'POST', path: '/webhooks/open', body })).body.dump()),
  )
  const warnings = () => relay.log.filter(({ msg }) => msg === 'redact path has matched nothing')
  await eventually(() => warnings().length > 0 && crm.received.length === bodies.length, 'it is logged', 60_000)
  t.match(warnings(), [
    { level: 'warn', target: 'crm', path: 'call.metadta.callerId', eventsSeen: 1_000, events: ['call.ended'] },
  ])
  t.equal(warnings().length, 1)
  t.notMatch(crm.received.map(({ body }) => body.toString()).join(''), '4930')
  await relay.end('SIGTERM')
})
