import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { openOutboxFile } from '../../src/outbox/sqlite/database.ts'
import { runRelay, startRelay, writeConfig } from '../daemon/relay-process.ts'
import { bodyOf, SECRET, send } from '../daemon/ultravox-sender.ts'
import { scratch } from '../scratch.ts'

/** Rows for each action; with 400,000 the whole takes about half an hour. */
const ROWS = Number(process.env.ROWS ?? 20_000)
/** More kept rejections than this are not kept. */
const REJECTIONS = Math.min(ROWS, 100_000)
const PER_SECOND = 30
const MOST_MS = 100

interface Action {
  readonly command: string
  /** Fills the tables with `@rows` rows; `numbers (n)` counts them. */
  readonly filling: readonly string[]
  /** Rows that the command says it has changed. */
  readonly changed: (document: Record<string, number>) => number | undefined
  readonly rows?: number
}

const EVENTS = [
  `insert into events (event_id, source, event, call_id, received_at, origin)
   select 'evt_' || n, 'ultravox', 'call.ended', 'call-' || n, @now - 60000, 'webhook' from numbers`,
  `insert into event_bodies (event_seq, body)
   select event_seq, cast('{"event":"call.ended","call":{"callId":"' || call_id || '","filler":"' || @filler || '"}}' as blob)
   from events`,
]
const finished = (target: string, state: string) => `
  insert into finished_deliveries (delivery_id, event_seq, target, state, attempts, round, finished_at, last_error)
  select event_seq, event_seq, '${target}', '${state}', 1, 1, @now - 60000, iif('${state}' = 'dead', 'http 503', null)
  from events`
const live = (target: string) => `
  insert into live_deliveries (event_seq, target, due_at, updated_at)
  select event_seq, '${target}', @now, @now from events`
const KEPT_REJECTIONS = `
  insert into rejections (source, received_at, reason, request_id, peer, headers, body, body_hash, content_type)
  select 'ultravox', @now - 60000, 'timestamp_stale', 'r' || n, '127.0.0.1', '{}',
    cast('{"event":"call.ended","call":{"callId":"kept-' || n || '","filler":"' || @filler || '"}}' as blob),
    'h' || n, 'application/json'
  from numbers`

const ACTIONS: Readonly<Record<string, Action>> = {
  'dead deliveries are retried': {
    command: 'deliveries retry --target crm --yes',
    filling: [...EVENTS, finished('crm', 'dead')],
    changed: ({ retried }) => retried,
  },
  'deliveries of a removed target are cancelled': {
    command: 'deliveries cancel --target gone --yes',
    filling: [...EVENTS, live('gone')],
    changed: ({ cancelled }) => cancelled,
  },
  'events are replayed': {
    command: 'events replay --to crm --since 1h --until 30s --yes',
    filling: [...EVENTS, finished('crm', 'delivered')],
    changed: ({ replayed }) => replayed,
  },
  'kept rejections are accepted': {
    command: 'rejections admit --since 1h --yes',
    filling: [KEPT_REJECTIONS],
    changed: ({ admitted }) => admitted,
    rows: REJECTIONS,
  },
  'kept rejections are cleared': {
    command: 'rejections clear --kept --since 1h --yes',
    filling: [KEPT_REJECTIONS],
    changed: ({ cleared }) => cleared,
    rows: REJECTIONS,
  },
  'events are pruned': {
    command: 'prune --older-than 30s --yes',
    filling: [...EVENTS, finished('crm', 'delivered')],
    changed: (document) => (document.removed as unknown as { events: number }).events,
  },
}

function fill(path: string, { filling, rows = ROWS }: Action): void {
  const { database, close } = openOutboxFile(path)
  database.pragma('synchronous = off')
  const numbers = `with recursive numbers (n) as (select 1 union all select n + 1 from numbers where n < ${rows})`
  const values = { now: Date.now(), filler: 'x'.repeat(2_000) }
  database
    .transaction(() => {
      for (const sql of filling) {
        const used = Object.fromEntries(Object.entries(values).filter(([name]) => sql.includes(`@${name}`)))
        database.prepare(sql.includes('from numbers') ? sql.replace(/\bselect\b/, `${numbers} select`) : sql).run(used)
      }
    })
    .immediate()
  // Ids of deliveries to come go on after these.
  database.prepare(`insert into sqlite_sequence (name, seq) values ('live_deliveries', ?)`).run(rows)
  database.pragma('wal_checkpoint(truncate)')
  close()
}

/** A service in a process of its own, which takes no time from the one that measures. */
async function target(t: Test): Promise<{ origin: string }> {
  const program = `
    const server = require('node:http').createServer((request, response) => request.resume().on('end', () => response.end()))
    server.listen(0, '127.0.0.1', () => console.log(server.address().port))`
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const [port] = await once(child.stdout, 'data')
  return { origin: `http://127.0.0.1:${String(port).trim()}` }
}

/** How long each acknowledgement took, from when its request was due, at a steady rate until then. */
async function acknowledgements(t: Test, origin: string, isOver: () => boolean): Promise<number[]> {
  const times: number[] = []
  const under: Promise<void>[] = []
  const startedAt = performance.now()
  for (let n = 0; !isOver() || n < 10 * PER_SECOND; n++) {
    const dueAt = startedAt + (n * 1_000) / PER_SECOND
    await sleep(Math.max(0, dueAt - performance.now()))
    under.push(
      send(`${origin}/webhooks/ultravox`, bodyOf('call.started', randomUUID())).then(({ status }) => {
        if (status !== 204) t.fail(`answered ${status}`)
        times.push(performance.now() - dueAt)
      }),
    )
  }
  await Promise.all(under)
  return times
}

function percentile(times: readonly number[], share: number): number {
  const sorted = times.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!
}

function shown(times: readonly number[]): string {
  const at = (share: number) => `${percentile(times, share).toFixed(1)} ms`
  return `${times.length} acknowledgements: p50 ${at(0.5)}, p90 ${at(0.9)}, p99 ${at(0.99)}, longest ${at(1)}`
}

const only = process.env.ONLY
for (const [name, action] of Object.entries(ACTIONS)) {
  if (only !== undefined && !name.includes(only)) continue
  t.test(`acknowledgements come promptly while ${name}`, { timeout: 1_200_000 }, async (t) => {
    const directory = scratch(t)
    fill(join(directory, 'relay.db'), action)
    const crm = await target(t)
    const config = {
      sources: { ultravox: { scheme: 'ultravox', secrets: [SECRET] } },
      targets: { crm: { type: 'http', url: crm.origin } },
      routes: [{ events: ['*'], to: ['crm'] }],
    }
    const file = writeConfig(directory, config)
    const relay = await startRelay(t, file)
    // A line for each attempt would keep this process from measuring.
    writeConfig(directory, { ...config, log: { level: 'warn' } })
    t.equal((await runRelay(['reload'], directory)).code, 0)
    const until = performance.now() + 5_000
    const before = await acknowledgements(t, relay.origin, () => performance.now() > until)
    t.comment(`before, ${shown(before)}`)
    const startedAt = performance.now()
    let took: number | undefined
    const command = runRelay([...action.command.split(' '), '--json'], directory).then((finished) => {
      took = performance.now() - startedAt
      return finished
    })
    const times = await acknowledgements(t, relay.origin, () => took !== undefined)
    const { code, stdout, stderr } = await command
    t.equal(code, 0, stderr)
    if (code !== 0) return
    t.equal(action.changed(JSON.parse(stdout)), action.rows ?? ROWS)
    t.comment(`meanwhile, ${shown(times)}; the command took ${(took! / 1_000).toFixed(1)} s`)
    t.ok(percentile(times, 0.99) < MOST_MS, `p99 is below ${MOST_MS} ms`)
  })
}
