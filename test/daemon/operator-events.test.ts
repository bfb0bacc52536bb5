import t from 'tap'
import type { NewEvent } from '../../src/domain/event.ts'
import { eventually } from '../eventually.ts'
import { scratch } from '../scratch.ts'
import { commandsIn, fill, service, sink, sources } from './operator-commands.ts'
import { startRelay, writeConfig } from './relay-process.ts'

t.test('a new target gets past events by a replay', async (t) => {
  const directory = scratch(t)
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
  t.match(await json(...replay, '--yes'), { matched: 450, targets: { fresh: 450 }, dryRun: false, replayed: 450 })
  await eventually(() => fresh.received.length === 450, 'all delivered')
  t.same(fresh.ids().sort(), ids.slice(0, 450).sort())

  t.match(await run('events replay --to fresh --yes', ids[450]!), {
    stdout: '1 event replayed to fresh: 1 delivery queued\n',
  })
  await eventually(() => fresh.ids().includes(ids[450]), 'one by its id')
})

t.test("a replay through today's routes sends events where they would go now", async (t) => {
  const directory = scratch(t)
  const { run, json, deliveries } = commandsIn(directory)
  const call = (callId: string, endReason: string): Partial<NewEvent> => ({
    callId,
    body: Buffer.from(JSON.stringify({ event: 'call.ended', call: { callId, endReason } })),
  })
  const alert = {
    source: 'relay',
    event: 'relay.target.opened',
    callId: null,
    body: Buffer.from('{"event":"relay.target.opened"}'),
  }
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
  t.match(await run(...all, '--yes'), { code: 1, stdout: /: 0 deliveries queued; 5 still pending, left as they are\n/ })
  t.match(await json('events replay --event relay.* --to odd --yes'), { matched: 1, replayed: 1 }, 'asked for by name')
})

t.test('events are listed with the newest first', async (t) => {
  const directory = scratch(t)
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
        prunedAt: null,
        deliveries: { pending: 1, failing: 0, delivered: 0, dead: 0, cancelled: 0 },
      },
    ],
    more: false,
  })
  const { stdout, stderr } = await run('events list --limit 2')
  t.match(
    stdout,
    /^ID +RECEIVED +EVENT .*\nevt_\S+ +2026-\S+Z .*\nevt_\S+ +2026-01-15T12:00:00\.000Z +call\.ended .* noon +pending 1\n$/,
  )
  t.match(stderr, /newest 2/)
  t.match(await run('events list --call nobody'), { code: 0, stdout: '', stderr: 'no events\n' })
})
