import { randomUUID } from 'node:crypto'
import t from 'tap'
import { request } from 'undici'
import { eventually } from '../eventually.ts'
import { scratch } from '../scratch.ts'
import { adminAddress, adminClient } from './admin-client.ts'
import { commandsIn, type Row, sink, sources } from './operator-commands.ts'
import { startRelay, writeConfig } from './relay-process.ts'
import { bodyOf, type SentAnswer, send } from './ultravox-sender.ts'

const idOf = ({ headers }: Pick<SentAnswer, 'headers'>) => headers['x-request-id'] as string

t.test('each request has an id: in its answer, in its line, and with its refusal on record', async (t) => {
  const directory = scratch(t)
  const config = writeConfig(directory, {
    sources,
    targets: { crm: sink },
    routes: [{ events: ['*'], when: 'call.callId > 1', to: ['crm'] }],
    admin: { listen: '127.0.0.1:0' },
  })
  const relay = await startRelay(t, config)
  const lineOf = async (id: string) => {
    await eventually(() => relay.log.some(({ requestId }) => requestId === id), `the line of ${id}`)
    return relay.log.find(({ requestId }) => requestId === id)!
  }
  const url = `${relay.origin}/webhooks/ultravox`
  const callId = randomUUID()
  const taken = await send(url, bodyOf('call.ended', callId), { headers: { 'x-request-id': 'chosen-by-the-sender' } })
  const forged = await send(url, bodyOf('call.ended'), { secret: 'another' })
  const unknown = await send(`${relay.origin}/webhooks/other`, bodyOf('call.ended'))
  const undecodable = await send(`${relay.origin}/%zz`, bodyOf('call.ended'))
  const looked = await adminClient(adminAddress(relay)).get('/api/nothing')
  const ids = [taken, forged, unknown, undecodable, looked].map(idOf)
  for (const id of ids) t.match(id, /^req_[0-9a-z]{12}-[0-9a-z]{6}$/)
  t.equal(new Set(ids).size, ids.length)
  t.same([...ids].sort(), ids, 'later ones sort later')

  const { eventId } = await lineOf(idOf(taken))
  t.match(await lineOf(idOf(taken)), { msg: 'request answered', path: '/webhooks/ultravox', eventId: /^evt_/, callId })
  t.match(await lineOf(idOf(forged)), { msg: 'request refused', source: 'ultravox', reason: 'signature_mismatch' })
  t.match(await lineOf(idOf(unknown)), { msg: 'request refused', reason: 'not_found' })
  t.match(await lineOf(idOf(undecodable)), { msg: 'request refused', reason: 'not_found', path: '/%25zz' })

  // Whatever is told of the event on its way says which it is.
  await eventually(() => relay.log.some(({ msg }) => msg === 'delivery attempted'), 'the delivery')
  for (const msg of ['route condition failed, taken as true', 'delivery attempted']) {
    t.match(
      relay.log.find((line) => line.msg === msg),
      { eventId, callId },
      msg,
    )
  }

  const { json, run } = commandsIn(directory)
  // The sender is answered before it is on record.
  const listed = async () => ((await json('rejections list')) as { rejections: Row[] }).rejections
  await eventually(async () => (await listed()).length > 0, 'it is on record')
  const rejections = await listed()
  t.match(rejections, [{ requestId: idOf(forged) }])
  t.match(
    (await run('rejections show', String(rejections[0]!.rejectionId))).stdout,
    `\nrequest                       ${idOf(forged)}\n`,
  )

  await relay.end('SIGTERM')
  const again = await startRelay(t, config)
  const later = idOf(await send(`${again.origin}/webhooks/ultravox`, bodyOf('call.ended')))
  t.ok(later > ids.at(-1)!, 'after a restart they are others, and later')
})

t.test('an admin request has one too', async (t) => {
  const admin = { listen: '127.0.0.1:0', token: 'a-token-of-the-test-0001' }
  const config = writeConfig(scratch(t), {
    sources,
    targets: { crm: sink },
    routes: [{ events: ['*'], to: ['crm'] }],
    admin,
  })
  const relay = await startRelay(t, config)
  const answer = await adminClient(adminAddress(relay)).get('/api/status')
  await eventually(() => relay.log.some(({ msg }) => msg === 'admin request refused'), 'its line')
  t.match(relay.log.at(-1), { msg: 'admin request refused', requestId: answer.headers['x-request-id'], status: 401 })
  const open = await request(`http://${adminAddress(relay)}/healthz`)
  t.match(open.headers['x-request-id'], /^req_/)
  await open.body.dump()
})
