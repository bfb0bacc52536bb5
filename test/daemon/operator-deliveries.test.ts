import t from 'tap'
import { eventually } from '../eventually.ts'
import { tcpServer } from '../local-server.ts'
import { scratch } from '../scratch.ts'
import { commandsIn, fill, service, sink, sources } from './operator-commands.ts'
import { startRelay, writeConfig } from './relay-process.ts'
import { bodyOf, send } from './ultravox-sender.ts'

t.test('what died while a target was down is found, retried and delivered', async (t) => {
  const directory = scratch(t)
  const { run, json, deliveries } = commandsIn(directory)
  const crm = await service(t, false)
  const hasty = await tcpServer(t, (socket) =>
    socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nok')),
  )
  const config = writeConfig(directory, {
    sources,
    targets: { crm: crm.target, hasty: { type: 'http', url: hasty.origin } },
    routes: [
      { events: ['call.ended'], to: ['crm'] },
      { events: ['call.started'], to: ['hasty'] },
    ],
  })
  const relay = await startRelay(t, config)
  const url = `${relay.origin}/webhooks/ultravox`
  for (const call of ['call-1', 'call-2', 'call-3']) await send(url, bodyOf('call.ended', call))
  await eventually(() => relay.log.filter(({ state }) => state === 'dead').length === 3, 'three dead deliveries')
  const sent = crm.ids().sort()

  const dead = await deliveries('--state dead --target crm')
  t.match(dead, [
    { target: 'crm', state: 'dead', event: 'call.ended', callId: 'call-3', attempts: 1, lastStatus: 410, dueAt: null },
    { callId: 'call-2' },
    { callId: 'call-1' },
  ])
  const listed = await run('deliveries list --error 410 --limit 2')
  t.match(listed, { code: 0, stderr: 'these are the newest 2; there are more (--limit)\n' })
  t.match(
    listed.stdout,
    /^ID {2}STATE {2}TARGET .*\n *\d+ {2}dead {3}crm {5}call\.ended {2}\S+Z .*call-3 .*http 410\n.*call-2/i,
  )
  t.equal(listed.stdout.split('\n').length, 4)

  const dryRun = await run('deliveries retry --target crm --dry-run')
  t.match(dryRun, { code: 0, stdout: '3 deliveries to crm would be queued for retry\n', stderr: '' })
  const unasked = await run('deliveries retry --target crm')
  t.match(unasked, { code: 2, stdout: '', stderr: /3 deliveries to crm would be queued for retry; say --yes/ })
  t.equal((await deliveries('--state dead')).length, 3, 'neither did anything')

  crm.state.up = true
  const retried = await run('deliveries retry --target crm --yes')
  t.match(retried, {
    code: 0,
    stdout: '3 deliveries to crm queued for retry\n',
    stderr: '3 deliveries to crm would be queued for retry\n',
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
      { attempt: 1, outcome: 'refused', status: 410, response: 'gone', startedAt: /^20.*Z$/ },
      { attempt: 2, outcome: 'delivered', status: 200, error: null },
    ],
  })
  const shown = await run('deliveries show', id)
  t.match(shown.stdout, /^delivery +\d+ to crm, delivered\nevent +call\.ended +evt_.*\ncall +call-3\n/)
  t.match(shown.stdout, /\n +1 .* refused +410 +http 410.*\n +2 .* delivered +200\n\nlast answer:\n {2}gone\n$/)

  await relay.end('SIGTERM')
  t.match(await json('deliveries retry --state delivered --call call-1 --yes'), { matched: 1, retried: 1 })
  t.match(await json('deliveries retry', id, '--yes'), { matched: 1, targets: { crm: 1 }, dryRun: false, retried: 1 })
  t.match(await deliveries('--state pending'), [{ callId: 'call-3' }, { callId: 'call-1' }], 'with no relay running')
  const again = await startRelay(t, config)
  await eventually(() => crm.received.length === 8, 'delivered once more')

  await send(`${again.origin}/webhooks/ultravox`, bodyOf('call.started', 'call-4'))
  const note = `the body of the answer was not read to its end: network: other side closed ${hasty.host}`
  await eventually(() => again.log.some((line) => line.note === note), 'the log has the note of an answer cut off')
  const [cutOff] = await deliveries('--target hasty')
  t.match(await json('deliveries show', String(cutOff!.deliveryId)), {
    state: 'delivered',
    history: [{ outcome: 'delivered', status: 200, error: null, response: 'ok', note }],
  })
})

t.test('thousands are changed in steps, and cancelled ones can be brought back', async (t) => {
  const directory = scratch(t)
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
    underWay: 0,
    deliveredMeanwhile: 0,
  })
  t.same(await json('deliveries cancel --until 2000-01-01 --dry-run'), {
    ...counts,
    dryRun: true,
    cancelled: 0,
    underWay: 0,
    deliveredMeanwhile: 0,
  })
  t.match(await run('deliveries cancel --until 2000-01-01 --yes'), {
    code: 0,
    stdout: '1202 deliveries (crm 1201, ops 1) cancelled\n',
  })
  const nothing = { code: 1, stdout: /"matched": 0,/ }
  t.match(await run('deliveries cancel --target crm --yes --json'), nothing)
  t.match(await run('deliveries retry --target crm --yes --json'), nothing, 'a retry means dead ones, unless told')
  t.match(await json('deliveries retry --target crm --state cancelled --yes'), { matched: 1_201, retried: 1_201 })
  t.match(await json('targets list'), {
    targets: [
      { target: 'crm', pending: 1_201 },
      { target: 'ops', pending: 0 },
    ],
  })
})

t.test('a list of any length is one document, read page by page', async (t) => {
  const directory = scratch(t)
  const { run } = commandsIn(directory)
  writeConfig(directory, { sources, targets: { crm: sink, ops: sink } })
  await fill(
    directory,
    Array.from({ length: 2_600 }, () => ({})),
    ['crm', 'ops'],
  )
  const { stdout, stderr } = await run('deliveries list --limit 5100 --json')
  t.match(stderr, 'these are the newest 5100; there are more (--limit)\n')
  const document = JSON.parse(stdout)
  t.equal(stdout, `${JSON.stringify(document, null, 2)}\n`)
  t.equal(document.more, true)
  const ids = document.deliveries.map(({ deliveryId }: { deliveryId: number }) => deliveryId)
  t.same(
    ids,
    Array.from({ length: 5_100 }, (_, index) => 5_200 - index),
  )
  const table = await run('deliveries list --limit 5200')
  t.match(table.stdout, /^ *ID .*\n *5200 (.*\n){5000} *ID .*\n *200 /)
  t.notMatch(table.stderr, 'there are more')
})
