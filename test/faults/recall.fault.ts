import type { ServerResponse } from 'node:http'
import t, { type Test } from 'tap'
import { commandsIn, sources } from '../daemon/operator-commands.ts'
import { type RelayProcess, runRelay, startRelay, writeConfig } from '../daemon/relay-process.ts'
import { bodyOf, send } from '../daemon/ultravox-sender.ts'
import { eventually } from '../eventually.ts'
import { httpServer } from '../local-server.ts'
import { scratch } from '../scratch.ts'

/** A relay with one attempt under way, and deliveries behind it that the lane has claimed. */
async function busy(t: Test) {
  const directory = scratch(t)
  let held: ServerResponse[] | undefined
  const crm = await httpServer(t, (response) => {
    if (held === undefined) response.end()
    else held.push(response)
  })
  const config = writeConfig(directory, {
    sources,
    targets: { crm: { type: 'http', url: crm.origin, concurrency: 1 } },
    routes: [{ events: ['*'], to: ['crm'] }],
  })
  const relay = await startRelay(t, config)
  const record = (callId: string, { origin }: RelayProcess = relay) =>
    send(`${origin}/webhooks/ultravox`, bodyOf('call.ended', callId))
  const commands = commandsIn(directory)
  await record('quick')
  await eventually(async () => (await commands.deliveries('--state delivered')).length === 1, 'a quick attempt')
  held = []
  for (const callId of ['first', 'second', 'third']) await record(callId)
  await eventually(() => held!.length === 1, 'an attempt that hangs')
  const letGo = () => {
    for (const response of held!) response.end()
    held = undefined
  }
  const sent = () => crm.received.map(({ body }) => JSON.parse(body.toString()).call.callId as string)
  return { ...commands, directory, config, relay, record, letGo, sent }
}

t.test('where the relay does not answer, the command says so, and the relay follows once it runs again', async (t) => {
  const { run, relay, record, letGo, sent } = await busy(t)
  relay.process.kill('SIGSTOP')
  const cancelled = await run('deliveries cancel --target crm --state pending --yes --json')
  relay.process.kill('SIGCONT')
  t.match(cancelled, {
    code: 1,
    stderr: /\nthe relay does not answer; until restarted, it may send what it has claimed\n$/,
  })
  t.match(JSON.parse(cancelled.stdout), { cancelled: 3, underWay: null })
  // Once this is answered, so is the one before.
  t.match(await run('targets pause crm'), { code: 0, stdout: /; 1 is being sent now/ })
  t.match(await run('targets resume crm'), { code: 0 })
  letGo()
  await record('last')
  await eventually(() => sent().includes('last'), 'the lane goes on')
  t.same(sent(), ['quick', 'first', 'last'])
})

t.test('a relay that is restarted while the command waits has nothing under way', async (t) => {
  const { directory, deliveries, config, relay, record, letGo, sent } = await busy(t)
  relay.process.kill('SIGSTOP')
  const line = 'deliveries cancel --target crm --state pending --yes --json'
  const cancelling = runRelay(line.split(' '), directory)
  await eventually(async () => (await deliveries('--state cancelled')).length === 3, 'they are cancelled')
  await relay.end('SIGKILL')
  letGo()
  const again = await startRelay(t, config)
  t.match(JSON.parse((await cancelling).stdout), { cancelled: 3, underWay: 0 })
  await record('last', again)
  await eventually(() => sent().includes('last'), 'the next')
  t.same(sent(), ['quick', 'first', 'last'])
})
