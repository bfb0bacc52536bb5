import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { eventually } from '../eventually.ts'
import { httpServer } from '../local-server.ts'
import { startRelay, writeConfig } from './relay-process.ts'
import { bodyOf, SECRET, send } from './ultravox-sender.ts'

const ROUNDS = 4
const CLIENTS = 16

t.test('after kill -9 at any moment, every acknowledged event is stored and delivered at least once', async (t) => {
  const directory = t.testdir()
  const sink = await httpServer(t, (response) => response.end())
  const config = writeConfig(directory, {
    sources: { ultravox: { scheme: 'ultravox', secrets: [SECRET] } },
    targets: {
      first: { type: 'http', url: `${sink.origin}/first` },
      second: { type: 'http', url: `${sink.origin}/second`, concurrency: 2 },
    },
    routes: [{ events: ['*'], to: ['first', 'second'] }],
    retry: { initialDelay: '20ms', maxDelay: '100ms' },
  })
  const acknowledged: string[] = []
  let sent = 0

  for (let round = 0; round < ROUNDS; round++) {
    const relay = await startRelay(t, config)
    let alive = true
    const client = async () => {
      while (alive) {
        const callId = `call-${sent++}`
        try {
          const { status } = await send(`${relay.origin}/webhooks/ultravox`, bodyOf('call.ended', callId))
          if (status === 204) acknowledged.push(callId)
        } catch {
          // The relay is gone, or was in the middle of it: not acknowledged.
        }
      }
    }
    const clients = Array.from({ length: CLIENTS }, client)
    const before = acknowledged.length
    await eventually(() => acknowledged.length > before + 20, 'events are taken', 20_000)
    await sleep(Math.random() * 150)
    t.equal((await relay.end('SIGKILL')).signal, 'SIGKILL')
    alive = false
    await Promise.all(clients)
  }

  const relay = await startRelay(t, config)
  const database = openDatabase(join(directory, 'relay.db'), { readonly: true })
  t.teardown(() => database.close())
  const count = (sql: string) => database.prepare(sql).pluck().get() as number
  await eventually(
    () => count("select count(*) from delivery_log where state != 'delivered'") === 0,
    'all done',
    30_000,
  )

  const stored = new Set(database.prepare('select call_id from event_log').pluck().all())
  t.same(
    acknowledged.filter((callId) => !stored.has(callId)),
    [],
    'everything acknowledged is stored',
  )
  for (const path of ['/first', '/second']) {
    const delivered = new Set(
      sink.received.filter(({ url }) => url === path).map(({ headers }) => headers['x-relay-call-id']),
    )
    t.same(
      [...stored].filter((callId) => !delivered.has(callId as string)),
      [],
      `everything stored came to ${path}`,
    )
  }
  t.equal(count('select count(*) from delivery_log'), stored.size * 2, 'an event and its deliveries, never one alone')
  t.equal(database.pragma('integrity_check', { simple: true }), 'ok')
  const twice = sink.received.length - stored.size * 2
  t.comment(
    `${ROUNDS} kills, ${acknowledged.length} acknowledged of ${sent} sent, ${stored.size} stored, ${twice} came twice`,
  )
  t.equal((await relay.end('SIGTERM')).code, 0)
})
