import { join } from 'node:path'
import t from 'tap'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { eventually } from '../eventually.ts'
import { attemptAt, newEvent, to } from '../outbox/samples.ts'
import { scratch } from '../scratch.ts'
import { commandsIn, fill, service, sink, sources } from './operator-commands.ts'
import { startRelay, writeConfig } from './relay-process.ts'
import { bodyOf, send } from './ultravox-sender.ts'

t.test('a paused target queues, also over a restart, and gets everything when it is resumed', async (t) => {
  const directory = scratch(t)
  const { run, target } = commandsIn(directory)
  const [crm, other] = [await service(t, true), await service(t, true)]
  const config = writeConfig(directory, {
    sources,
    targets: { crm: crm.target, other: other.target },
    routes: [{ events: ['*'], to: ['crm', 'other'] }],
  })
  const first = await startRelay(t, config)
  t.match(await run('targets pause crm'), { code: 0, stdout: 'crm is paused, 0 deliveries pending\n', stderr: '' })
  let sent = 0
  const sendOne = async (origin: string) => {
    sent += 1
    await send(`${origin}/webhooks/ultravox`, bodyOf('call.ended'))
    await eventually(() => other.received.length === sent, 'the other target is not paused')
  }
  // Until the running relay has noticed, events still go out.
  await eventually(async () => {
    await sendOne(first.origin)
    // One that is just being delivered is pending too.
    return (await target('crm'))?.pending === 1 && crm.received.length === sent - 1
  }, 'the running relay has noticed')
  const before = crm.received.length
  t.equal(before, sent - 1)
  await first.end('SIGTERM')

  const second = await startRelay(t, config)
  await sendOne(second.origin)
  t.match(await target('crm'), { pausedByCommand: true, pausedByConfig: false, pending: 2, dead: 0, oldestDueAt: /Z$/ })
  t.match(
    (await run('targets list')).stdout,
    /^TARGET .*\ncrm +http +paused +closed +2 +0 +0 +\d+s ago\nother +http +run/,
  )
  t.equal(crm.received.length, before, 'nothing was sent')

  t.match(await run('targets resume crm'), { code: 0, stdout: 'crm is resumed, 2 deliveries pending\n' })
  await eventually(() => crm.received.length === sent, 'everything is delivered')
  t.same(crm.ids().sort(), other.ids().sort())
})

t.test('a target that the configuration pauses is shown so, and a resume says that it stays so', async (t) => {
  const directory = scratch(t)
  const { run, target } = commandsIn(directory)
  writeConfig(directory, {
    sources,
    targets: { crm: { ...sink, paused: true } },
    routes: [{ events: ['*'], to: ['crm'] }],
  })
  await fill(directory, [{}], ['crm'])
  t.match(await target('crm'), { pausedByCommand: false, pausedByConfig: true, pending: 1, type: 'exec' })
  t.match(await run('targets list'), { stdout: /crm +exec +paused \(configuration\)/ })
  t.match(await run('targets resume crm'), {
    code: 1,
    stdout: /stays paused by the configuration/,
    stderr: /remove "paused: true" of targets.crm/,
  })
})

t.test('deliveries of a target that is gone are kept, shown, and go on when it comes back', async (t) => {
  const directory = scratch(t)
  const { run, json, target, deliveries } = commandsIn(directory)
  const [crm, other] = [await service(t, true), await service(t, true)]
  const routes = [{ events: ['*'], to: ['other'] }]
  const without = { sources, targets: { other: other.target }, routes }
  const [eventId] = await fill(directory, [{}], ['crm'])
  const first = await startRelay(t, writeConfig(directory, without))
  t.match(await target('crm'), { configured: false, type: null, pending: 1, pausedByCommand: false })
  t.match((await run('targets list')).stdout, /\ncrm +orphaned +closed +1 +0 +0 /)
  t.match(await json('targets pause crm'), { target: 'crm', pausedByCommand: true, pending: 1 })
  t.match((await run('targets list')).stdout, /\ncrm +orphaned, paused /)
  t.match(await run('targets resume crm'), { code: 0 })
  t.match(await deliveries('--target crm'), [{ state: 'pending', attempts: 0, eventId }])
  await first.end('SIGTERM')
  t.equal(crm.received.length + other.received.length, 0, 'it was sent to nobody')

  const targets = { other: other.target, crm: crm.target }
  const back = { sources, targets, routes: [...routes, { events: ['later'], to: ['crm'] }] }
  await startRelay(t, writeConfig(directory, back))
  await eventually(() => crm.received.length === 1, 'it goes on')
  t.same(crm.ids(), [eventId])
})

t.test('a throttled target and attempts that timed out are shown, with what to do about them', async (t) => {
  const directory = scratch(t)
  const { run, json } = commandsIn(directory)
  const crm = { type: 'http', url: 'http://127.0.0.1:1/' }
  writeConfig(directory, { sources, targets: { crm }, routes: [{ events: ['*'], to: ['crm'] }] })
  const outbox = await SqliteOutbox.open(join(directory, 'relay.db'), (error) => t.fail(error.message))
  for (let n = 0; n < 2; n++) await outbox.record(newEvent({ receivedAt: Date.now() }), to('crm'))
  const [delivery] = (await outbox.claim('crm', 1, Date.now())).deliveries
  const attempt = { ...attemptAt(delivery!, 'failed', Date.now()), error: 'timeout: no complete answer within 10s' }
  await outbox.settle(delivery!, attempt, { state: 'pending', dueAt: Date.now() + 1_000, timedOut: true })
  const until = Date.now() + 3_600_000
  await outbox.saveThrottle('crm', { until, inARow: 1 }, Date.now())
  await outbox.close()
  const iso = new Date(until).toISOString()

  const { stdout } = await run('targets list')
  t.match(stdout, / throttled, \d+[hm]/)
  t.match(
    stdout,
    /\ncrm: 1 attempt timed out in the last hour; the work may have been done\n +raise targets\.crm\.timeout, /,
  )
  t.match((await json('targets list')).targets, [
    { target: 'crm', breaker: 'closed', throttledUntil: iso, timedOut: 1 },
  ])
  const doctor = (await run('doctor')).stdout
  t.match(doctor, /target crm +has asked for no requests for another \d+[hm].*\n +→ .*targets probe crm\n/)
  t.match(doctor, /target crm +1 attempt timed out in the last hour; .*\n +→ raise targets\.crm\.timeout/)
  const { waitsFor } = (await json('deliveries show 2')) as { waitsFor: unknown }
  t.same(waitsFor, { reason: 'throttled', until: iso })
  t.match((await run('deliveries show 2')).stdout, /crm asked for no requests until \d.* \(429 or Retry-After\)\n/)
})
