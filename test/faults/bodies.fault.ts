import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { startRelay, writeConfig } from '../daemon/relay-process.ts'
import { SECRET } from '../daemon/ultravox-sender.ts'
import { eventually } from '../eventually.ts'
import { rawHttpServer } from '../local-server.ts'
import { newEvent, to } from '../outbox/samples.ts'
import { scratch } from '../scratch.ts'
import { memoryOf } from './memory.ts'

const TARGETS = 10
const EVENTS = 30
const BODY_BYTES = 4_500_000
/** Resident, of which an idle relay takes some 90. Without a bound in bytes it was 1,100. */
const MOST_MB = 450

t.setTimeout(0)

t.test('large bodies for many slow targets at once stay within bounds of memory, and all arrive', async (t) => {
  const directory = scratch(t)
  const names = Array.from({ length: TARGETS }, (_, index) => `target-${index}`)
  const outbox = await SqliteOutbox.open(join(directory, 'relay.db'), (error) => t.fail(error.message))
  for (let n = 0; n < EVENTS; n++) {
    const body = Buffer.from(
      JSON.stringify({ event: 'call.ended', call: { callId: `c${n}`, notes: 'x'.repeat(BODY_BYTES) } }),
    )
    await outbox.record(newEvent({ callId: `c${n}`, body, receivedAt: Date.now() }), to(...names))
  }
  await outbox.close()
  const held: ServerResponse[] = []
  let isHolding = true
  let received = 0
  const server = await rawHttpServer(t, (request, response) => {
    request.on('error', () => {})
    request.on('end', () => {
      received++
      if (isHolding) held.push(response)
      else response.end()
    })
    request.resume()
  })
  const config = {
    sources: { ultravox: { scheme: 'ultravox', secrets: [SECRET] } },
    targets: Object.fromEntries(
      names.map((name) => [name, { type: 'http', url: server.origin, concurrency: EVENTS, timeout: '5m' }]),
    ),
    routes: [{ events: ['*'], to: names }],
  }
  const relay = await startRelay(t, writeConfig(directory, config))
  const { pid } = relay.process
  const idle = memoryOf(pid!).now
  await eventually(
    async () => {
      const before = received
      await sleep(2_000)
      return received > 0 && received === before
    },
    'all that may be under way is',
    120_000,
  )
  const full = { ...memoryOf(pid!), attempts: received }
  isHolding = false
  for (const response of held) response.end()
  await eventually(() => received === TARGETS * EVENTS, 'everything arrives', 300_000)
  const { most } = memoryOf(pid!)
  t.comment(`at the start ${idle} MB; ${full.attempts} attempts held: ${full.now} MB; most ${most} MB`)
  t.ok(most < MOST_MB, `${most} MB`)
  await relay.end('SIGTERM')
})
