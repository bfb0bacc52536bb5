import { randomBytes, randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { openOutboxFile } from '../../src/outbox/sqlite/database.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { watchRetention } from '../../src/upkeep/retention-watch.ts'
import { POLICY } from '../outbox/retention-contract.ts'
import { newEvent, to } from '../outbox/samples.ts'
import { scratch } from '../scratch.ts'

const EVENTS = Number(process.env.EVENTS ?? 40_000)
const CLIENTS = 4

/** Fills a new outbox with delivered events of 1970, two deliveries each, faster than a relay would. */
function fill(path: string): void {
  const { database, close } = openOutboxFile(path)
  database.pragma('synchronous = off')
  const event = database.prepare(`
    insert into events (event_id, source, event, call_id, received_at, origin)
    values (@id, 'ultravox', 'call.ended', @id, @n, 'webhook')`)
  const body = database.prepare('insert into event_bodies (event_seq, body) values (@seq, @body)')
  const delivery = database.prepare(`
    insert into finished_deliveries (event_seq, target, state, attempts, round, finished_at, last_status)
    values (@seq, @target, 'delivered', 1, 1, @n, 200)`)
  const attempt = database.prepare(`
    insert into attempts (delivery_id, event_seq, target, attempt, started_at, duration_ms, outcome, status, response)
    values (@deliveryId, @seq, @target, 1, @n, 5, 'delivered', 200, 'ok')`)
  const bytes = randomBytes(3_300)
  database.transaction(() => {
    for (let n = 1; n <= EVENTS; n++) {
      const seq = event.run({ id: randomUUID(), n }).lastInsertRowid
      body.run({ seq, body: bytes })
      for (const target of ['crm', 'ops']) {
        const deliveryId = delivery.run({ seq, target, n }).lastInsertRowid
        attempt.run({ seq, target, n, deliveryId })
      }
    }
  })()
  close()
}

function shown(times: readonly number[]): string {
  const sorted = times.toSorted((a, b) => a - b)
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!.toFixed(1)
  return `${times.length} events: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, p99.9 ${at(0.999)} ms, longest ${at(1)} ms`
}

t.test('events are recorded without long waits while many old ones are removed', { timeout: 900_000 }, async (t) => {
  const path = join(scratch(t), 'relay.db')
  fill(path)
  const outbox = await SqliteOutbox.open(path, (error) => t.fail(error.message))
  t.teardown(() => outbox.close())
  const now = () => Date.UTC(2026, 0, 15)

  /** How long records take, made by a few clients one after the other until then. */
  async function waits(isOver: () => boolean): Promise<number[]> {
    const times: number[] = []
    const body = randomBytes(3_300)
    const client = async () => {
      while (!isOver()) {
        const startedAt = performance.now()
        const event = newEvent({ callId: randomUUID(), eventId: randomUUID(), receivedAt: now(), body })
        await outbox.record(event, to('crm'))
        times.push(performance.now() - startedAt)
        await sleep(2)
      }
    }
    await Promise.all(Array.from({ length: CLIENTS }, client))
    return times
  }

  const until = performance.now() + 20_000
  t.comment(`before, ${shown(await waits(() => performance.now() > until))}`)

  let removed = 0
  const steps: number[] = []
  let isDone = false
  const watch = watchRetention({
    policy: POLICY,
    store: {
      async prune(policy, at) {
        const startedAt = performance.now()
        const step = await outbox.prune(policy, at)
        steps.push(performance.now() - startedAt)
        isDone = !step.more
        return step
      },
    },
    clock: { now },
    stopwatch: () => performance.now(),
    raise: () => {},
    recovered: () => {},
    log: {
      pruned({ events }) {
        removed = events
      },
      full: () => {},
    },
  })
  const pruning = (async () => {
    while (!isDone) {
      await watch.check()
      if (!isDone) await sleep(watch.everyMs)
    }
  })()
  const startedAt = performance.now()
  const times = await waits(() => isDone)
  await pruning
  t.comment(`meanwhile, ${shown(times)}`)
  t.comment(`steps, ${shown(steps).replace('events', 'steps')}; ${Math.round(performance.now() - startedAt)} ms in all`)
  t.equal(removed, EVENTS)
})
