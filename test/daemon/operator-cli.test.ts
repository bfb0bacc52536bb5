import t, { type Test } from 'tap'
import type { NewEvent } from '../../src/domain/event.ts'
import { eventually } from '../eventually.ts'
import { httpServer } from '../local-server.ts'
import { commandsIn, fill } from './operator-commands.ts'
import { startRelay, writeConfig } from './relay-process.ts'
import { bodyOf, SECRET, send } from './ultravox-sender.ts'

const sources = { ultravox: { scheme: 'ultravox', secrets: [SECRET] } }
const sink = { type: 'exec', command: ['cat'] }

/** A service that is down (404, so that deliveries to it are dead at once) or up. */
async function service(t: Test, up: boolean) {
  const state = { up }
  const { origin, received } = await httpServer(t, (response) => response.writeHead(state.up ? 200 : 404).end('gone'))
  const ids = () => received.map(({ headers }) => headers['webhook-id'])
  return { target: { type: 'http', url: origin }, received, ids, state }
}

t.test('what died while a target was down is found, retried and delivered', async (t) => {
  const directory = t.testdir()
  const { run, json, deliveries } = commandsIn(directory)
  const crm = await service(t, false)
  const config = writeConfig(directory, {
    sources,
    targets: { crm: crm.target },
    routes: [{ events: ['*'], to: ['crm'] }],
  })
  const relay = await startRelay(t, config)
  const url = `${relay.origin}/webhooks/ultravox`
  for (const call of ['call-1', 'call-2', 'call-3']) await send(url, bodyOf('call.ended', call))
  await eventually(() => relay.log.filter(({ state }) => state === 'dead').length === 3, 'three dead deliveries')
  const sent = crm.ids().sort()

  const dead = await deliveries('--state dead --target crm')
  t.match(dead, [
    { target: 'crm', state: 'dead', event: 'call.ended', callId: 'call-3', attempts: 1, lastStatus: 404, dueAt: null },
    { callId: 'call-2' },
    { callId: 'call-1' },
  ])
  const listed = await run('deliveries list --error 404 --limit 2')
  t.match(listed, { code: 0, stderr: 'these are the newest 2; there are more (--limit)\n' })
  t.match(
    listed.stdout,
    /^ID {2}STATE {2}TARGET .*\n *\d+ {2}dead {3}crm {5}call\.ended {2}call-3 .*http 404\n.*call-2/i,
  )
  t.equal(listed.stdout.split('\n').length, 4)

  const dryRun = await run('deliveries retry --target crm --dry-run')
  t.match(dryRun, { code: 0, stdout: '3 deliveries to crm would be retried\n', stderr: '' })
  const unasked = await run('deliveries retry --target crm')
  t.match(unasked, { code: 2, stdout: '', stderr: /3 deliveries to crm would be retried; say --yes/ })
  t.equal((await deliveries('--state dead')).length, 3, 'neither did anything')

  crm.state.up = true
  const retried = await run('deliveries retry --target crm --yes')
  t.match(retried, {
    code: 0,
    stdout: '3 deliveries to crm retried\n',
    stderr: '3 deliveries to crm would be retried\n',
  })
  await eventually(() => crm.received.length === 6, 'the running relay has noticed')
  t.same(crm.ids().slice(3).sort(), sent, 'with the same ids')
  t.equal(crm.received[3]!.headers['x-relay-attempt'], '2')
  await eventually(async () => (await deliveries('--state delivered')).length === 3, 'settled')

  const id = String(dead[0]!.deliveryId)
  t.match(await json('deliveries show', id), {
    deliveryId: dead[0]!.deliveryId,
    state: 'delivered',
    history: [
      { attempt: 1, outcome: 'refused', status: 404, response: 'gone', startedAt: /^20.*Z$/ },
      { attempt: 2, outcome: 'delivered', status: 200, error: null },
    ],
  })
  const shown = await run('deliveries show', id)
  t.match(shown.stdout, /^delivery +\d+ to crm, delivered\nevent +call\.ended +evt_.*\ncall +call-3\n/)
  t.match(shown.stdout, /\n +1 .* refused +404 +http 404.*\n +2 .* delivered +200\n\nlast answer:\n {2}gone\n$/)

  await relay.end('SIGTERM')
  t.match(await json('deliveries retry --state delivered --call call-1 --yes'), { matched: 1, retried: 1 })
  t.match(await json('deliveries retry', id, '--yes'), { matched: 1, targets: { crm: 1 }, dryRun: false, retried: 1 })
  t.match(await deliveries('--state pending'), [{ callId: 'call-3' }, { callId: 'call-1' }], 'with no relay running')
  await startRelay(t, config)
  await eventually(() => crm.received.length === 8, 'delivered once more')
})

t.test('a paused target queues, also over a restart, and gets everything when it is resumed', async (t) => {
  const directory = t.testdir()
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
    return (await target('crm'))?.pending === 1
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
  const directory = t.testdir()
  const { run, target } = commandsIn(directory)
  writeConfig(directory, {
    sources,
    targets: { crm: { ...sink, paused: true } },
    routes: [{ events: ['*'], to: ['crm'] }],
  })
  await fill(directory, [{}], ['crm'])
  t.match(await target('crm'), { pausedByCommand: false, pausedByConfig: true, pending: 1, type: 'exec' })
  t.match(await run('targets list'), { stdout: /crm +exec +paused \(configuration\)/ })
  t.match(await run('targets resume crm'), { code: 0, stderr: /the configuration itself pauses crm/ })
})

t.test('deliveries of a target that is gone are kept, shown, and go on when it comes back', async (t) => {
  const directory = t.testdir()
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

t.test('a new target gets past events by a replay', async (t) => {
  const directory = t.testdir()
  const { run, json } = commandsIn(directory)
  const fresh = await service(t, true)
  // More than two pages.
  const events = Array.from({ length: 450 }, (_, n) => ({ event: n % 2 === 0 ? 'call.started' : 'call.ended' }))
  const ids = await fill(directory, [...events, { event: 'account.low' }], ['old'], 'delivered')
  const config = writeConfig(directory, {
    sources,
    targets: { old: sink, fresh: fresh.target },
    routes: [
      { events: ['*'], to: ['old'] },
      { events: ['later'], to: ['fresh'] },
    ],
  })
  await startRelay(t, config)
  const replay = ['events replay --to fresh --event', 'call.*'] as const
  t.match(await run(...replay, '--dry-run'), { code: 0, stdout: '450 events would be replayed to fresh\n', stderr: '' })
  t.match(await run(...replay), { code: 2, stderr: /450 events would be replayed to fresh; say --yes/ })
  t.equal(fresh.received.length, 0)
  t.same(await json(...replay, '--yes'), { matched: 450, targets: { fresh: 450 }, dryRun: false, replayed: 450 })
  await eventually(() => fresh.received.length === 450, 'all delivered', 20_000)
  t.same(fresh.ids().sort(), ids.slice(0, 450).sort())

  t.match(await run('events replay --to fresh --yes', ids[450]!), {
    stdout: '1 event replayed to fresh: 1 delivery made or tried anew\n',
  })
  await eventually(() => fresh.ids().includes(ids[450]), 'one by its id')
})

t.test("a replay through today's routes sends events where they would go now", async (t) => {
  const directory = t.testdir()
  const { run, json, deliveries } = commandsIn(directory)
  const call = (callId: string, endReason: string): Partial<NewEvent> => ({
    callId,
    body: Buffer.from(JSON.stringify({ event: 'call.ended', call: { callId, endReason } })),
  })
  const alert = { event: 'relay.target.opened', callId: null, body: Buffer.from('{"event":"relay.target.opened"}') }
  await fill(directory, [call('call-1', 'hangup'), call('call-2', 'unjoined'), alert], ['crm'])
  writeConfig(directory, {
    sources,
    targets: { crm: sink, unjoined: sink, odd: sink },
    routes: [
      { events: ['*'], to: ['crm'] },
      { events: ['call.*'], when: "call.endReason = 'unjoined'", to: ['unjoined'] },
      { events: ['call.*'], when: 'call.endReason > 1', to: ['odd'] },
    ],
  })
  const dryRun = await run('events replay --since 2000d --until 1000d --dry-run')
  t.match(dryRun, { code: 0, stdout: "0 events would be replayed through today's routes\n" })
  const all = ['events replay --source ultravox'] as const
  const { stdout, stderr } = await run(...all, '--dry-run')
  t.equal(stdout, "2 events would be replayed through today's routes (crm 2, odd 2, unjoined 1)\n")
  t.match(stderr, /^warning: routes\[2\]\.when fails, taken as true: .*\n$/, 'told once')
  t.equal((await deliveries()).length, 3, 'nothing was made')

  t.match(await json(...all, '--yes'), { matched: 2, targets: { crm: 2, unjoined: 1, odd: 2 }, replayed: 3 })
  t.match(await deliveries('--target unjoined'), [{ callId: 'call-2', state: 'pending', attempts: 0 }])
  t.match(await json(...all, '--yes'), { replayed: 0 }, 'what is pending stays as it is')
  t.match(await json('events replay --event relay.* --to odd --yes'), { matched: 1, replayed: 1 }, 'asked for by name')
})

t.test('events are listed with the newest first', async (t) => {
  const directory = t.testdir()
  const { run, json } = commandsIn(directory)
  writeConfig(directory, { sources, targets: { crm: sink }, routes: [{ events: ['*'], to: ['crm'] }] })
  const at = (text: string) => ({ receivedAt: Date.parse(text) })
  const [, second] = await fill(
    directory,
    [at('2026-01-15T11:00Z'), { ...at('2026-01-15T12:00Z'), callId: 'noon' }, at('2026-01-15T13:00Z')],
    ['crm'],
  )
  t.same(await json('events list --since 2026-01-15T12:00 --until 2026-01-15T13:00Z'), {
    events: [
      {
        eventId: second,
        source: 'ultravox',
        event: 'call.ended',
        callId: 'noon',
        receivedAt: '2026-01-15T12:00:00.000Z',
        duplicates: 0,
      },
    ],
    more: false,
  })
  const { stdout, stderr } = await run('events list --limit 2')
  t.match(
    stdout,
    /^RECEIVED +EVENT +CALL .*\n2026-01-15T13:00:00\.000Z .*\n2026-01-15T12:00:00\.000Z +call\.ended +noon .*\n$/,
  )
  t.match(stderr, /newest 2/)
  t.match(await run('events list --call nobody'), { code: 0, stdout: '', stderr: 'no events\n' })
})

t.test('thousands are changed in steps, and cancelled ones can be brought back', async (t) => {
  const directory = t.testdir()
  const { run, json } = commandsIn(directory)
  writeConfig(directory, {
    sources,
    targets: { crm: sink, ops: sink },
    routes: [{ events: ['*'], to: ['crm', 'ops'] }],
  })
  const events = Array.from({ length: 1_201 }, () => ({}))
  await fill(directory, events, ['crm'], 'dead')
  await fill(directory, [{}], ['ops'])
  const counts = { matched: 1_202, targets: { crm: 1_201, ops: 1 } }
  t.same(await json('deliveries cancel --since 2000-01-01 --dry-run'), {
    matched: 0,
    targets: {},
    dryRun: true,
    cancelled: 0,
  })
  t.same(await json('deliveries cancel --until 2000-01-01 --dry-run'), { ...counts, dryRun: true, cancelled: 0 })
  t.match(await run('deliveries cancel --until 2000-01-01 --yes'), {
    code: 0,
    stdout: '1202 deliveries (crm 1201, ops 1) cancelled\n',
  })
  t.match(await json('deliveries cancel --target crm --yes'), { matched: 0, cancelled: 0 })
  t.match(await json('deliveries retry --target crm --yes'), { matched: 0 }, 'a retry means dead ones, unless told')
  t.match(await json('deliveries retry --target crm --state cancelled --yes'), { matched: 1_201, retried: 1_201 })
  t.match(await json('targets list'), {
    targets: [
      { target: 'crm', pending: 1_201 },
      { target: 'ops', pending: 0 },
    ],
  })
})
