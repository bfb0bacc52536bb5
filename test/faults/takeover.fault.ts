import { rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { sources } from '../daemon/operator-commands.ts'
import { startRelay, writeConfig } from '../daemon/relay-process.ts'
import { bodyOf, send } from '../daemon/ultravox-sender.ts'
import { eventually } from '../eventually.ts'
import { httpServer } from '../local-server.ts'
import { scratch } from '../scratch.ts'

const EVENTS = 5

t.test(
  'a stopped relay that has lost its lock file delivers and acknowledges nothing once it is continued',
  async (t) => {
    const directory = scratch(t)
    let status = 503
    const answers: { id: string; status: number }[] = []
    const crm = await httpServer(t, (response, { headers }) => {
      answers.push({ id: String(headers['webhook-id']), status })
      response.writeHead(status).end()
    })
    const config = writeConfig(directory, {
      sources,
      targets: { crm: { type: 'http', url: crm.origin, breaker: { failures: 1_000 } } },
      routes: [{ events: ['*'], to: ['crm'] }],
      retry: { initialDelay: '500ms', factor: 1, maxDelay: '500ms', jitter: 0 },
    })
    const take = (origin: string) => send(`${origin}/webhooks/ultravox`, bodyOf('call.ended'))
    const first = await startRelay(t, config)
    for (let n = 0; n < EVENTS; n++) t.equal((await take(first.origin)).status, 204)
    await eventually(() => answers.length >= EVENTS, 'each is tried')
    first.process.kill('SIGSTOP')
    rmSync(join(directory, '.relay.db.lock'))
    const startedAt = performance.now()
    const second = await startRelay(t, config)
    t.comment(`the second was ready after ${((performance.now() - startedAt) / 1_000).toFixed(1)} s`)
    status = 200
    for (let n = 0; n < EVENTS; n++) t.equal((await take(second.origin)).status, 204)
    first.process.kill('SIGCONT')
    const late = await take(first.origin).catch(() => ({ status: 0 }))
    t.not(late.status, 204, 'the first acknowledges nothing')
    t.equal((await first.end('SIGCONT')).code, 1, 'and ends')
    const delivered = () => answers.filter((answer) => answer.status === 200).map(({ id }) => id)
    await eventually(() => new Set(delivered()).size === 2 * EVENTS, 'all are delivered')
    t.equal((await second.end('SIGTERM')).code, 0)
    t.equal(delivered().length, 2 * EVENTS, 'each once')
  },
)
