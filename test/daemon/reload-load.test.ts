import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { pino } from 'pino'
import t from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { startDaemon } from '../../src/daemon.ts'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { eventually } from '../eventually.ts'
import { httpServer } from '../local-server.ts'
import { scratch } from '../scratch.ts'
import { startRelay, writeConfig } from './relay-process.ts'
import { bodyOf, SECRET, send } from './ultravox-sender.ts'

const RELOADS = 100
const CLIENTS = 2

t.test('a hundred reloads under load, every second one broken, lose and leak nothing', async (t) => {
  const directory = scratch(t)
  const sink = await httpServer(t, (response) => response.end())
  const write = (n: number) =>
    writeConfig(directory, {
      sources: { ultravox: { scheme: 'ultravox', secrets: [SECRET], ...(n % 2 === 1 && { secretz: [] }) } },
      targets: {
        stays: { type: 'http', url: `${sink.origin}/stays` },
        changes: { type: 'http', url: `${sink.origin}/changes`, timeout: `${10 + n}s` },
      },
      routes: [{ events: ['*'], to: ['stays', 'changes'] }],
    })
  const relay = await startRelay(t, write(0))
  const open = () => readdirSync(`/proc/${relay.process.pid}/fd`).length
  const threads = () => readdirSync(`/proc/${relay.process.pid}/task`).length
  const results = () => relay.log.filter(({ msg }) => /^configuration (not )?reloaded/.test(msg))
  const reload = async (n: number) => {
    write(n)
    const before = results().length
    relay.process.kill('SIGHUP')
    await eventually(() => results().length > before, 'a reload is answered')
  }

  const answers: number[] = []
  let under = true
  const client = async () => {
    while (under) answers.push((await send(`${relay.origin}/webhooks/ultravox`, bodyOf('call.ended'))).status)
  }
  const clients = Array.from({ length: CLIENTS }, client)
  for (let n = 1; n <= 4; n++) await reload(n)
  const before = { open: open(), threads: threads() }
  for (let n = 5; n <= RELOADS; n++) await reload(n)
  under = false
  await Promise.all(clients)

  t.equal(results().filter(({ msg }) => msg === 'configuration reloaded').length, RELOADS / 2)
  t.same([...new Set(answers)], [204], `${answers.length} events, all taken`)
  const database = openDatabase(join(directory, 'relay.db'), { readonly: true })
  t.teardown(() => database.close())
  const count = (sql: string) => database.prepare(sql).pluck().get() as number
  await eventually(() => count("select count(*) from delivery_log where state != 'delivered'") === 0, 'all delivered')
  t.equal(count('select count(*) from event_log'), answers.length)
  for (const path of ['/stays', '/changes']) {
    const times = sink.received.filter(({ url }) => url === path).length
    t.equal(times, answers.length, `each once to ${path}`)
  }
  // What one configuration opened, the next has closed: connections of the last few at most.
  await eventually(() => open() <= before.open + 8, 'no descriptor has leaked')
  await eventually(() => threads() <= before.threads, 'no thread has leaked')
  t.equal((await relay.end('SIGTERM')).code, 0, 'and nothing keeps it from ending')
})

t.test('no reload leaves a timer behind', async (t) => {
  const directory = scratch(t)
  const load = (n: number) => {
    const file = writeConfig(directory, {
      sources: { ultravox: { scheme: 'ultravox', secrets: [SECRET], expectWithin: `${10 + n}m` } },
      // It fails, so that its lane has something to wait for.
      targets: { crm: { type: 'http', url: 'http://127.0.0.1:1/', timeout: `${10 + n}s`, breaker: { failures: 1 } } },
      routes: [{ events: ['*'], to: ['crm'] }],
    })
    return loadConfig(file, process.env).config
  }
  const onFailure = (error: Error) => t.fail(error.message)
  const daemon = await startDaemon(load(0), { logger: pino({ level: 'silent' }), onFailure })
  t.teardown(() => daemon.stop())
  t.equal((await send(`http://${daemon.address}/webhooks/ultravox`, bodyOf('call.ended'))).status, 204)
  const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length
  await daemon.reload(load(1))
  const before = timers()
  for (let n = 2; n <= 30; n++) await daemon.reload(load(n))
  await eventually(() => timers() <= before + 2, 'as many timers as before')
})
