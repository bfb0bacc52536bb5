import { rmSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { eventually } from '../eventually.ts'
import { httpServer } from '../local-server.ts'
import { scratch } from '../scratch.ts'
import { commandsIn, type Row, sources } from './operator-commands.ts'
import { startRelay, writeConfig } from './relay-process.ts'
import { bodyOf, send } from './ultravox-sender.ts'

const EVENTS = 5
const routes = [{ events: ['*'], to: ['crm'] }]

/** A target that answers when it is let to, and counts how often it got each event. */
async function slowTarget(t: Test) {
  const state = { open: true }
  const held: (() => void)[] = []
  const { origin, received } = await httpServer(t, (response) => {
    const answer = () => response.writeHead(200).end()
    if (state.open) answer()
    else held.push(answer)
  })
  const letGo = () => {
    state.open = true
    for (const answer of held.splice(0)) answer()
  }
  const counts = () => {
    const ids = received.map(({ headers }) => String(headers['webhook-id']))
    return [...new Set(ids)].map((id) => ids.filter((each) => each === id).length)
  }
  return { target: { type: 'http', url: origin }, received, state, letGo, counts }
}

t.test(
  'a relay whose lock file is removed ends, and the one that is started delivers all, each event once',
  async (t) => {
    const directory = scratch(t)
    const crm = await slowTarget(t)
    const config = writeConfig(directory, { sources, targets: { crm: crm.target }, routes })
    const first = await startRelay(t, config)
    const send5 = async (origin: string) => {
      for (let n = 0; n < EVENTS; n++) {
        const { status } = await send(`${origin}/webhooks/ultravox`, bodyOf('call.ended'))
        t.equal(status, 204)
      }
    }
    crm.state.open = false
    await send5(first.origin)
    await eventually(() => crm.received.length === EVENTS, 'the attempts of the first are under way')

    rmSync(join(directory, '.relay.db.lock'))
    const starting = startRelay(t, config)
    await eventually(() => first.log.some(({ msg }) => msg === 'outbox lock lost, relay stopping'), 'it is noticed')
    crm.letGo()
    const second = await starting
    const ended = await first.end('SIGCONT')
    t.match(ended, {
      code: 1,
      stdout: /"code":"outbox_locked".*the lock file .*\.relay\.db\.lock was removed or replaced/,
    })

    await send5(second.origin)
    await eventually(() => crm.received.length >= 2 * EVENTS, 'all are delivered')
    const { deliveries } = await commandsIn(directory).json('deliveries list --limit 100')
    await eventually(async () => {
      const rows = (await commandsIn(directory).json('deliveries list --limit 100')).deliveries as Row[]
      return rows.every(({ state }) => state === 'delivered')
    }, 'and settled')
    t.equal((deliveries as Row[]).length, 2 * EVENTS)
    t.same(crm.counts(), Array(2 * EVENTS).fill(1), 'each once')
    t.equal((await second.end('SIGTERM')).code, 0)
  },
)

t.test('a relay whose directory is removed and made again acknowledges nothing more and ends', async (t) => {
  const directory = scratch(t)
  const crm = await slowTarget(t)
  const outbox = { path: './data/relay.db' }
  const config = writeConfig(directory, { sources, targets: { crm: crm.target }, routes, outbox })
  const first = await startRelay(t, config)
  rmSync(join(directory, 'data'), { recursive: true })
  const second = await startRelay(t, config)
  const sent = await send(`${first.origin}/webhooks/ultravox`, bodyOf('call.ended')).catch(() => ({ status: 0 }))
  t.not(sent.status, 204)
  t.equal((await first.end('SIGCONT')).code, 1)
  t.equal((await send(`${second.origin}/webhooks/ultravox`, bodyOf('call.ended'))).status, 204)
  await eventually(() => crm.received.length === 1, 'the new one delivers')
})
