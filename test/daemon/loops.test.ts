import t from 'tap'
import { eventually } from '../eventually.ts'
import { httpServer } from '../local-server.ts'
import { scratch } from '../scratch.ts'
import { commandsIn, type Row } from './operator-commands.ts'
import { startRelay, writeConfig } from './relay-process.ts'
import { runCommand } from './run-command.ts'
import { bodyOf, send } from './ultravox-sender.ts'

/** Accepts anything, so that what a relay has changed is as genuine as what has arrived. */
const sources = { open: { scheme: 'none' } }
/** Another event each time: no duplicate is recognised. */
const body = { event: '{{event.name}}', call: { callId: '{{event.id}}' } }
const webhook = (origin: string) => ({ type: 'http', url: `${origin}/webhooks/open`, body })

t.test('an event that comes back to the relay, by itself or through others, ends there', async (t) => {
  const [first, second] = [scratch(t), scratch(t)]
  const sink = await httpServer(t, (response) => response.end())
  const started = writeConfig(first, {
    sources,
    targets: { sink: { type: 'http', url: sink.origin } },
    routes: [{ events: ['*'], to: ['sink'] }],
  })
  const relay = await startRelay(t, started)
  const other = await startRelay(
    t,
    writeConfig(second, {
      sources,
      targets: { back: webhook(relay.origin), sink: { type: 'http', url: sink.origin } },
      routes: [{ events: ['call.*'], to: ['back', 'sink'] }],
    }),
  )
  const hook = `
    const headers = { 'x-relay-via': process.env.RELAY_VIA }
    const options = { method: 'POST', headers, body: '{"event":"call.hook"}' }
    fetch('${relay.origin}/webhooks/open', options).then(({ ok }) => process.exit(ok ? 0 : 65))`
  const file = writeConfig(first, {
    sources,
    targets: {
      self: webhook(relay.origin),
      other: webhook(other.origin),
      hook: { type: 'exec', command: [process.execPath, '-e', hook] },
      pager: webhook(relay.origin),
    },
    routes: [
      { events: ['call.*'], to: ['self', 'other', 'hook'] },
      { events: ['relay.*'], to: ['pager'] },
    ],
  })
  t.match(await runCommand(['reload', '--config', file], first), { code: 0 })
  t.equal((await send(`${relay.origin}/webhooks/open`, bodyOf('call.ended'))).status, 204)

  const here = commandsIn(first)
  const there = commandsIn(second)
  const isOver = async ({ deliveries }: typeof here, count: number) => {
    const all = await deliveries()
    return all.length === count && all.every(({ state }) => state !== 'pending')
  }
  // Of the event: self, other and hook; and an alert for each of the two that are dead.
  await eventually(() => isOver(here, 5), 'all is finished at the first')
  await eventually(() => isOver(there, 2), 'all is finished at the second')
  const ends = (await here.deliveries()).map(({ target, state, lastError }) => [target, state, lastError])
  t.match(Object.fromEntries(ends.map(([target, ...rest]) => [target, rest])), {
    self: ['dead', 'http 422'],
    other: ['delivered', null],
    hook: ['dead', /exit 65/],
    pager: ['dead', 'http 422'],
  })
  const back = (await there.deliveries('--target back'))[0]!
  t.match(back, { state: 'dead', lastError: 'http 422' })
  const received = ((await here.json('events list')).events as Row[]).filter(({ source }) => source === 'open')
  t.equal(received.length, 1, 'nothing that came back is on record')
  const { rejections } = await here.json('rejections list --reason loop_detected')
  t.equal((rejections as Row[]).length, 5, 'all of it is among the rejections')
  t.match(sink.received.at(-1)!.headers['x-relay-via'], /^[0-9a-f]{16} [0-9a-f]{16}$/)
})
