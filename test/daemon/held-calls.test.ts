import { join } from 'node:path'
import t from 'tap'
import { deliveryResults } from '../../src/cli/doctor/outbox.ts'
import type { Config } from '../../src/config/config.ts'
import { SqliteOperator } from '../../src/outbox/sqlite/sqlite-operator.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { parseExposition } from '../admin/exposition.ts'
import { eventually } from '../eventually.ts'
import { httpServer } from '../local-server.ts'
import { attemptAt, newEvent, to } from '../outbox/samples.ts'
import { scratch } from '../scratch.ts'
import { adminAddress, adminClient } from './admin-client.ts'
import { commandsIn, type Row, sources } from './operator-commands.ts'
import { startRelay, writeConfig } from './relay-process.ts'

const HOUR = 3_600_000

/** A call whose first delivery to `crm` is dead and holds two others, and 70 dead deliveries to `slow` and to `off`. */
async function heldCall(directory: string): Promise<void> {
  const outbox = await SqliteOutbox.open(join(directory, 'relay.db'), (error) => {
    throw error
  })
  const receivedAt = Date.now() - HOUR
  for (const event of ['call.started', 'call.joined', 'call.ended']) {
    await outbox.record(newEvent({ callId: 'call-1', event, receivedAt }), [{ target: 'crm', ordered: true }])
  }
  const [started] = (await outbox.claim('crm', 9, Date.now())).deliveries
  const rejected = { ...attemptAt(started!, 'refused', receivedAt), status: 400, error: 'http 400' }
  await outbox.settle(started!, rejected, { state: 'dead', hold: true })
  await Promise.all(Array.from({ length: 70 }, () => outbox.record(newEvent({ receivedAt }), to('slow', 'off'))))
  for (const target of ['slow', 'off']) {
    const { deliveries } = await outbox.claim(target, 70, Date.now())
    await Promise.all(deliveries.map((each) => outbox.settle(each, attemptAt(each, 'refused'), { state: 'dead' })))
  }
  await outbox.close()
}

t.test('held calls are in status, doctor, metrics, an alert and the views of a call, with what to do', async (t) => {
  const directory = scratch(t)
  const ops = await httpServer(t, (response) => response.end())
  const crm = await httpServer(t, (response) => response.end())
  await heldCall(directory)
  const operator = SqliteOperator.open(join(directory, 'relay.db'))
  const stopped = {
    delivery: { alertAfterMs: 15 * 60_000 },
    targets: { crm: {}, slow: {}, off: {} },
  } as unknown as Config
  t.match(deliveryResults(stopped, await operator.listTargets(Date.now()), Date.now()), [
    {
      name: 'target crm',
      level: 'warning',
      message: '2 deliveries of 1 call wait behind dead deliveries that hold their calls',
      advice: /: deliveries retry --holding --target crm, or: deliveries cancel --holding --target crm$/,
    },
    { message: '1 delivery dead' },
    { name: 'target off', message: '70 deliveries dead' },
    { name: 'target slow' },
  ])
  await operator.close()

  const config = writeConfig(directory, {
    admin: { listen: '127.0.0.1:0' },
    sources,
    targets: {
      crm: { type: 'http', url: crm.origin, ordered: 'call', onDead: 'hold' },
      slow: { type: 'http', url: crm.origin, rateLimit: { max: 2, per: '1s' } },
      off: { type: 'http', url: crm.origin, paused: true },
      ops: { type: 'http', url: ops.origin },
    },
    routes: [
      { events: ['call.*'], to: ['crm', 'slow', 'off'] },
      { events: ['relay.target.*'], to: ['ops'] },
    ],
  })
  const relay = await startRelay(t, config)
  const { get, post } = adminClient(adminAddress(relay))
  await eventually(() => ops.received.length === 1, 'the alert')
  t.match(JSON.parse(ops.received[0]!.body.toString()), {
    event: 'relay.target.calls_held',
    target: { name: 'crm', held: 2, heldCalls: 1, heldSince: /Z$/ },
  })

  const { run } = commandsIn(directory)
  const counts = { target: 'crm', pending: 2, due: 0, backoff: 0, waiting: 0, held: 2, heldCalls: 1, dead: 1 }
  t.match((await get('/api/status')).json(), {
    targets: [{ ...counts, oldestDueAt: null, oldestHeldAt: /Z$/ }, {}, {}, {}],
  })
  const { stdout } = await run('status')
  t.match(stdout, /\nTARGET +STATE +DUE +OLDEST +BACKOFF +WAITING +HELD +DEAD .*\ncrm +running +0 +0 +0 +2 +1 /)
  t.match(stdout, '\ncrm: 2 deliveries of 1 call held behind dead ones\n  deliveries list --holding --target crm\n')
  const { value } = parseExposition((await get('/metrics')).text)
  t.equal(value('ultravox_relay_deliveries_held', { target: 'crm' }), 2)
  t.ok(value('ultravox_relay_oldest_held_age_seconds', { target: 'crm' })! >= 3_600)

  const held = { reason: 'held', deliveryId: 1, event: 'call.started', deadSince: /Z$/, error: 'http 400' }
  t.match((await get('/api/calls/call-1')).json(), {
    events: [{ deliveries: [{ waitsFor: null }] }, { deliveries: [{ waitsFor: held }] }, {}],
  })
  t.match((await get('/api/deliveries/3')).json(), { state: 'pending', waitsFor: held })
  const call = await run('calls show call-1')
  t.match(call.stdout, 'crm: pending, held by dead delivery 1 (delivery 3)\n')
  t.equal(
    call.stderr,
    'dead delivery 1 holds 2 deliveries of its call: deliveries retry 1, or deliveries cancel 1\n',
    'once',
  )
  const shown = await run('deliveries show 3')
  t.match(shown.stdout, /\nwaits +held by delivery 1 \(call\.started\), dead since 20.*Z\n +its error: http 400\n/)
  t.match(shown.stdout, /\n +to release this call: deliveries retry 1, or deliveries cancel 1\n/)

  const counted = { added: 70, queued: 70, held: 0 }
  const off = { ...counted, target: 'off', waitsFor: { reason: 'paused', by: 'configuration' }, durationMs: null }
  const rate = { from: 'rateLimit', max: 2, perMs: 1_000 }
  const slow = { ...counted, target: 'slow', waitsFor: null, rate, durationMs: 35_000 }
  const dryRun = await post('/api/deliveries/retry', { error: 'http 503', dryRun: true })
  const expected = dryRun.json().expected as Row[]
  t.match(
    ['off', 'slow'].map((name) => expected.find(({ target }) => target === name)),
    [off, slow],
  )
  const asked = await run('deliveries retry --target slow --dry-run')
  t.equal(
    asked.stdout,
    '70 deliveries to slow would be queued for retry\n70 deliveries queued for slow at most 2/s: about 35s\n',
  )
  const released = await run('deliveries retry --target crm --holding --yes')
  t.match(released, { code: 0, stdout: '1 delivery to crm queued for retry\n' })
  await eventually(() => crm.received.length === 3, 'the call goes on')
})
