import { join } from 'node:path'
import t from 'tap'
import { loadConfig } from '../src/config/load.ts'
import type { Attachments } from '../src/domain/attachments.ts'
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
