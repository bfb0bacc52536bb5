import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import t from 'tap'
import { loadConfig } from '../src/config/load.ts'
import { Capacities } from '../src/delivery/capacity.ts'
import type { Attachments } from '../src/domain/attachments.ts'
import { systemClock } from '../src/domain/clock.ts'
import { lanesOf } from '../src/lane-factory.ts'
import { SqliteOutbox } from '../src/outbox/sqlite/sqlite-outbox.ts'
import { Launcher } from '../src/targets/launcher.ts'
import { openTracing } from '../src/tracing.ts'
import { writeConfig } from './daemon/relay-process.ts'
import { eventually } from './eventually.ts'
import { httpServer } from './local-server.ts'
import { newEvent, to } from './outbox/samples.ts'
import { scratch } from './scratch.ts'

t.test('what is signed is signed at the time of the wall clock, not at that by which a lane waits', async (t) => {
  const directory = scratch(t)
  const crm = await httpServer(t, (response) => response.end())
  const sign = { scheme: 'standard-webhooks', secrets: ['whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5'] }
  const file = writeConfig(directory, {
    sources: { ultravox: { scheme: 'ultravox', secrets: ['whsec_test_5a0c'] } },
    targets: { crm: { type: 'http', url: crm.origin, sign } },
    routes: [{ events: ['*'], to: ['crm'] }],
  })
  const outbox = await SqliteOutbox.open(join(directory, 'relay.db'), (error) => t.fail(error.message))
  const log = { attempted() {}, superseded() {}, opened() {}, closed() {}, outboxUnavailable() {} }
  const lanes = lanesOf(loadConfig(file, {}).config, () => undefined, {
    outbox,
    capacities: new Capacities(),
    relayId: '00112233445566ff',
    launcher: new Launcher(),
    attachments: {} as Attachments,
    tracing: await openTracing(null, { notExported() {} }),
    // As after somebody has set the time back by an hour.
    clock: { now: () => 3_600_000 },
    wallClock: { now: () => 7_000 },
    random: Math.random,
    log,
    unmatched() {},
  })
  const { lane } = lanes.get('crm')!
  t.teardown(async () => {
    await lane.stop(0)
    await outbox.close()
  })
  await outbox.record(newEvent(), to('crm'))
  lane.setPaused(false)
  await eventually(() => crm.received.length === 1, 'it is sent')
  t.equal(crm.received[0]!.headers['webhook-timestamp'], '7')
})

t.test('every kind of target says when it is sent something', async (t) => {
  const directory = scratch(t)
  const held: ServerResponse[] = []
  const { origin } = await httpServer(t, (response) => held.push(response))
  const rateLimit = { max: 1, per: '1h' }
  const file = writeConfig(directory, {
    sources: { ultravox: { scheme: 'ultravox', secrets: ['whsec_test_5a0c'] } },
    targets: {
      crm: { type: 'http', url: origin, rateLimit },
      chat: { type: 'slack', webhookUrl: origin, text: '{{ event }}', rateLimit },
      hook: { type: 'exec', command: ['/bin/sh', '-c', 'cat > /dev/null; exec sleep 60'], rateLimit },
    },
    routes: [{ events: ['*'], to: ['crm', 'chat', 'hook'] }],
  })
  const outbox = await SqliteOutbox.open(join(directory, 'relay.db'), (error) => t.fail(error.message))
  const log = { attempted() {}, superseded() {}, opened() {}, closed() {}, outboxUnavailable() {} }
  const capacities = new Capacities()
  const launcher = new Launcher()
  const lanes = lanesOf(loadConfig(file, {}).config, () => undefined, {
    outbox,
    relayId: '00112233445566ff',
    capacities,
    launcher,
    attachments: {} as Attachments,
    tracing: await openTracing(null, { notExported() {} }),
    clock: systemClock,
    wallClock: systemClock,
    random: Math.random,
    log,
    unmatched() {},
  })
  t.teardown(async () => {
    await Promise.all([...lanes.values()].map(({ lane }) => lane.stop(0)))
    await launcher.close()
    await outbox.close()
  })
  const body = Buffer.from('{"event":"call.ended","call":{}}')
  await outbox.record(newEvent({ body, receivedAt: Date.now() }), to('crm', 'chat', 'hook'))
  for (const [name, { lane }] of lanes) {
    lane.setPaused(false)
    const rate = capacities.of(name).rate({ max: 1, perMs: 3_600_000 })
    await eventually(() => rate.available() === 0 && Number.isFinite(rate.waitMs()), `${name} says so`)
  }
})
