import t from 'tap'
import { eventually } from '../eventually.ts'
import { scratch } from '../scratch.ts'
import { adminAddress, adminClient } from './admin-client.ts'
import { commandsIn, fill, type Row, service, sources } from './operator-commands.ts'
import { startRelay, writeConfig } from './relay-process.ts'

t.test('deliveries of a renamed target are moved, with their attempts, in order and only once', async (t) => {
  const directory = scratch(t)
  const { run, json, target, deliveries } = commandsIn(directory)
  const crm = await service(t, true)
  const call = { callId: '0a1b2c3d-0000-4000-8000-0000000000aa' }
  const names = ['call.started', 'call.joined', 'call.ended']
  const events = names.map((event) => ({ ...call, event }))
  const ids = await fill(directory, events, ['old'], 'dead')
  const pending = await fill(directory, [{}, {}], ['old'])
  const both = await fill(directory, [{}], ['old', 'crm'])
  const config = writeConfig(directory, {
    sources,
    admin: { listen: '127.0.0.1:0' },
    targets: { crm: { ...crm.target, ordered: 'call', concurrency: 1 } },
    routes: [{ events: ['*'], to: ['crm'] }],
  })
  t.match(await run('deliveries move --target old'), { code: 2, stderr: /--to/ })
  t.match(await run('deliveries move --target old --to cmr'), { code: 2, stderr: /did you mean "crm"/ })
  t.match(await run('deliveries move --target crm --to crm --yes'), { code: 2 })
  t.match(await run('deliveries move --target old --to crm --dry-run'), {
    code: 0,
    stdout: /^5 deliveries to old would be moved to crm\n/,
    stderr: /1 delivery not moved: crm has had their events/,
  })
  const moved = await run('deliveries move --target old --to crm --yes')
  t.match(moved, { code: 0, stdout: /^5 deliveries to old moved to crm\n/, stderr: /no relay is running/ })
  t.match(await deliveries('--target old'), [{ state: 'pending', eventId: both[0] }])

  const relay = await startRelay(t, config)
  await eventually(async () => (await target('crm'))?.pending === 0, 'all are delivered')
  const received = crm.ids()
  t.same([...received].sort(), [...ids, ...pending, ...both].sort(), 'each once')
  t.same(
    received.filter((id) => ids.includes(id as string)),
    ids,
    'in the order of the call',
  )
  const [first] = (await deliveries('--target crm')).filter(({ eventId }) => eventId === ids[0])
  t.match(await json(`deliveries show ${first?.deliveryId}`), {
    history: [{ outcome: 'refused' }, { outcome: 'delivered' }],
  })

  const again = await run('deliveries move --target old --to crm --yes')
  t.match(again, { code: 1, stdout: 'no deliveries match, nothing was moved to crm\n' })
  const admin = adminClient(adminAddress(relay))
  t.match((await admin.post('/api/deliveries/move', { target: 'old', to: 'crm' })).json(), { matched: 0, moved: 0 })
  t.match(await admin.post('/api/deliveries/move', { target: 'old' }), { status: 400 })
})

t.test('events that failed at a target are replayed to another', async (t) => {
  const directory = scratch(t)
  const { run, json, deliveries } = commandsIn(directory)
  const crm = await service(t, true)
  writeConfig(directory, { sources, targets: { crm: crm.target }, routes: [{ events: ['*'], to: ['crm'] }] })
  const dead = await fill(directory, [{}, {}], ['old'], 'dead')
  await fill(directory, [{}], ['old'], 'delivered')
  await fill(directory, [{}], ['old'])
  t.match(await run('events replay --or-failing --to crm'), { code: 2, stderr: /failed-at/ })
  t.match(await run('events replay --failed-at old --to crm --yes'), {
    code: 0,
    stdout: /^2 events replayed to crm: 2 deliveries queued\n/,
  })
  t.same((await deliveries('--target crm')).map(({ eventId }: Row) => eventId).sort(), [...dead].sort())
  t.match(await run('events replay --failed-at old --to crm --yes'), {
    code: 1,
    stdout: /^2 events replayed to crm: 0 deliveries queued; 2 still pending, left as they are\n/,
  })
  t.match(await json('events replay --failed-at old --to crm --dry-run --after', dead[0]!), { matched: 1 })
  t.match(await run('events replay --failed-at nope --to crm --yes'), { code: 2, stderr: /there is no target "nope"/ })
})
