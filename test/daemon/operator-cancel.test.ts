import { existsSync, writeFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import t from 'tap'
import { eventually } from '../eventually.ts'
import { httpServer } from '../local-server.ts'
import { scratch } from '../scratch.ts'
import { adminAddress, adminClient } from './admin-client.ts'
import { commandsIn, sources } from './operator-commands.ts'
import { startRelay, writeConfig } from './relay-process.ts'
import { bodyOf, send } from './ultravox-sender.ts'

t.test('on one relay', async (t) => {
  const directory = scratch(t)
  const { run, json, deliveries } = commandsIn(directory)
  /** Answers that the test holds back; undefined: the target answers at once. */
  let held: ServerResponse[] | undefined
  const crm = await httpServer(t, (response) => {
    if (held === undefined) response.end()
    else held.push(response)
  })
  const hook = ['sh', '-c', 'touch begun; while [ ! -e go ]; do sleep 0.02; done']
  const config = writeConfig(directory, {
    sources,
    targets: { crm: { type: 'http', url: crm.origin, concurrency: 1 }, hook: { type: 'exec', command: hook } },
    routes: [
      { events: ['call.*'], to: ['crm'] },
      { events: ['hook'], to: ['hook'] },
    ],
    admin: { listen: '127.0.0.1:0' },
  })
  const relay = await startRelay(t, config)
  const admin = adminClient(adminAddress(relay))
  const record = (event: string, callId?: string) => send(`${relay.origin}/webhooks/ultravox`, bodyOf(event, callId))
  const sent = () => crm.received.map(({ body }) => JSON.parse(body.toString()).call.callId as string)

  /** Leaves three events: one is being sent, and the lane has claimed the others, for its last attempt was quick. */
  async function sendingOneOfThree(callId: string): Promise<void> {
    held = undefined
    const before = crm.received.length
    await record('call.ended', `before ${callId}`)
    await eventually(() => crm.received.length > before, 'a quick attempt')
    await eventually(async () => (await deliveries('--state pending')).length === 0, 'it is over')
    held = []
    for (const event of ['call.started', 'call.joined', 'call.ended']) await record(event, callId)
    await eventually(() => held!.length === 1, 'an attempt that hangs')
  }

  /** Ends the attempt, and resolves once the lane has sent what comes after it. */
  async function letGo(callId: string): Promise<void> {
    for (const response of held!) response.end()
    held = undefined
    await record('call.ended', `after ${callId}`)
    await eventually(() => sent().includes(`after ${callId}`), 'the lane goes on')
  }

  const timesSent = (callId: string) => sent().filter((each) => each === callId).length

  await t.test('what a command has cancelled is not sent, and it says what is being sent', async (t) => {
    await sendingOneOfThree('by-command')
    const cancelled = await json('deliveries cancel --call by-command --yes')
    t.match(cancelled, { matched: 3, cancelled: 3, underWay: 1 })
    await letGo('by-command')
    t.equal(timesSent('by-command'), 1)
  })

  await t.test('so does the admin API', async (t) => {
    await sendingOneOfThree('by-api')
    const answer = await admin.post('/api/deliveries/cancel', { call: 'by-api' })
    t.same(answer.json(), {
      matched: 3,
      targets: { crm: 3 },
      dryRun: false,
      cancelled: 3,
      underWay: 1,
      deliveredMeanwhile: 0,
      warnings: [],
    })
    await letGo('by-api')
    t.equal(timesSent('by-api'), 1)
  })

  await t.test('and what is erased, also if it was cancelled before', async (t) => {
    await sendingOneOfThree('erased')
    t.equal((await admin.post('/api/deliveries/cancel', { call: 'erased', event: 'call.started' })).json().underWay, 1)
    const { code, stdout, stderr } = await run('erase --call erased --cancel --yes')
    t.match({ code, stdout }, { code: 0, stdout: /^erased: the bodies of 3 of its 3 events/ })
    t.match(stderr, /\nits deliveries were cancelled; 1 is being sent now and may still arrive\n/)
    await letGo('erased')
    t.equal(timesSent('erased'), 1)
  })

  await t.test('a pause takes effect before it is confirmed', async (t) => {
    await sendingOneOfThree('paused')
    const text = 'crm is paused, 3 deliveries pending; 1 is being sent now and may still arrive\n'
    t.match(await run('targets pause crm'), { code: 0, stdout: text, stderr: '' })
    for (const response of held!) response.end()
    held = undefined
    await eventually(async () => (await deliveries('--state pending')).length === 2, 'the attempt is settled')
    t.match((await admin.post('/api/targets/crm/pause')).json(), { pending: 2, underWay: 0 })
    t.equal(timesSent('paused'), 1)
    t.notOk('underWay' in (await admin.post('/api/targets/crm/resume')).json())
    await eventually(() => timesSent('paused') === 3, 'resumed')
  })

  await t.test('a hook that runs is being sent, also while the relay shuts down', async (t) => {
    await record('hook')
    await eventually(() => existsSync(join(directory, 'begun')), 'the hook runs')
    const ended = relay.end('SIGTERM')
    await eventually(() => relay.log.some(({ msg }) => msg === 'relay stopping'), 'it stops')
    t.match(await run('deliveries cancel --target hook --yes'), {
      code: 0,
      stdout: '1 delivery to hook cancelled; 1 is being sent now and may still arrive\n',
    })
    writeFileSync(join(directory, 'go'), '')
    t.equal((await ended).code, 0)
    t.match(await json('deliveries retry --target hook --state cancelled --yes'), { retried: 1 })
    t.match(await json('deliveries cancel --target hook --yes'), { cancelled: 1, underWay: 0 }, 'no relay is running')
  })
})
