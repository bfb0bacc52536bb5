import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { openDatabase } from '../../src/outbox/sqlite/driver.ts'
import { spawnRelay, startRelay, writeConfig } from '../daemon/relay-process.ts'
import { runCommand } from '../daemon/run-command.ts'
import { bodyOf, SECRET, send } from '../daemon/ultravox-sender.ts'
import { eventually } from '../eventually.ts'
import { freePort, rawHttpServer } from '../local-server.ts'
import { scratch } from '../scratch.ts'
import { numbersOf } from '../simulation/world.ts'
import { COMMANDS, type Command, runUnlucky } from './unlucky-commands.ts'

/** Together they send more than the 200 events a second that are wanted, as long as there is a relay. */
const CLIENTS = 24
const PAUSE_MS = 10

/** The hook gets one event in five: a process each is what costs most here. */
const HOOKED = 'call.ended'
const NAMES = ['call.started', 'call.joined', HOOKED, 'call.billed', 'call.invented']

export interface CrashPlan {
  readonly seed: number
  readonly cycles: number
}

/**
 * Kills a relay at random moments, again and again, also while it starts and while commands work on its outbox; a
 * client takes down what was acknowledged. Then everything acknowledged has to be on record and at each of its targets.
 */
export async function crashCycles(t: Test, { seed, cycles }: CrashPlan): Promise<void> {
  const random = numbersOf(seed)
  const pick = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)]!
  const directory = scratch(t)
  const port = await freePort()
  const crm = await troubledTarget(t, random)
  const config = configure(directory, port, crm.origin)
  const ledger = startClients(`http://127.0.0.1:${port}/webhooks/ultravox`, pick)
  const complaints: string[] = []
  const commands: Partial<Record<Command, number>> = {}
  const figures = { early: 0, runningMs: 0 }
  let beside: Promise<unknown> = Promise.resolve()

  for (let cycle = 0; cycle < cycles; cycle++) {
    const relay = spawnRelay(['serve', '--config', config], {}, directory)
    t.teardown(() => relay.kill('SIGKILL'))
    const ended = once(relay, 'close') as Promise<[number | null, NodeJS.Signals | null]>
    const heard = listenTo(relay)
    if (random() < 0.3) await Promise.race([sleep(50 + random() * 550), ended])
    else {
      await Promise.race([heard.started, ended])
      const command = pick(COMMANDS)
      commands[command] = (commands[command] ?? 0) + 1
      const before = beside
      beside = runUnlucky(directory, command, relay, new Set(ledger.acknowledged.keys()), random).then((complaint) => {
        if (complaint !== null) complaints.push(complaint)
        return before
      })
      await Promise.race([sleep(random() * 550), ended])
    }
    if (heard.startedAt() === undefined) figures.early += 1
    else figures.runningMs += performance.now() - heard.startedAt()!
    relay.kill('SIGKILL')
    const [code, signal] = await ended
    if (signal !== 'SIGKILL')
      complaints.push(`in cycle ${cycle} the relay ended by itself with ${code}: ${heard.text()}`)
    if (cycle % 10 === 0) await beside
  }
  await beside
  const beforeLast = ledger.acknowledged.size
  t.same(complaints, [], 'every command came to its end, every backup was whole, and no relay ended by itself')

  crm.heal()
  const relay = await startRelay(t, config)
  // Few kills on a busy machine may leave it no time to acknowledge anything.
  await eventually(() => ledger.acknowledged.size > beforeLast + 100, 'events come in')
  await ledger.stop()
  const database = openDatabase(join(directory, 'relay.db'), { readonly: true })
  t.teardown(() => database.close())
  const count = (sql: string) => database.prepare(`select count(*) from ${sql}`).pluck().get() as number
  await runCommand(['deliveries', 'retry', '--state', 'dead', '--target', 'crm', '--yes'], directory)
  await eventually(() => count('live_deliveries') === 0, 'nothing is left to be done', 600_000)
  t.equal(count("finished_deliveries where state != 'delivered'"), 0, 'no row is stuck')
  t.equal(database.pragma('integrity_check', { simple: true }), 'ok')
  // Besides them, there are events of the relay's own.
  const ofCalls = database.prepare('select call_id, event from events where call_id is not null').raw()
  const stored = new Map(ofCalls.all() as [string, string][])
  const sent = [...ledger.acknowledged]
  const missing = (has: ReadonlySet<string> | ReadonlyMap<string, string>, of: [string, string][]) =>
    of.map(([callId]) => callId).filter((callId) => !has.has(callId))
  t.same(missing(stored, sent), [], 'everything acknowledged is stored')
  const hooked = readFileSync(join(directory, 'hook.log'), 'utf8').split('\n').filter(Boolean)
  t.same(missing(new Set(crm.taken.keys()), [...stored]), [], 'everything stored came to the http target')
  const forHook = [...stored].filter(([, event]) => event === HOOKED)
  t.same(missing(new Set(hooked), forHook), [], 'everything stored came to the hook')
  t.equal(
    count('finished_deliveries'),
    count('events where pruned_at is null') + count(`events where pruned_at is null and event = '${HOOKED}'`),
    'an event and its deliveries, never one alone',
  )
  const rate = Math.round((beforeLast / figures.runningMs) * 1_000)
  const twice = (of: number, all: number) => `${of - all} of ${all} came more than once`
  const taken = [...crm.taken.values()].reduce((sum, times) => sum + times, 0)
  t.comment(`seed ${seed}: ${cycles} kills, ${figures.early} of them before it listened`)
  t.comment(
    `${sent.length} events acknowledged (${rate} a second while it ran), ${stored.size} stored, ${missing(stored, sent).length} lost`,
  )
  t.comment(`http target: ${twice(taken, crm.taken.size)}; hook: ${twice(hooked.length, new Set(hooked).size)}`)
  t.comment(
    `beside it: ${Object.entries(commands)
      .map(([name, times]) => `${times} ${name}`)
      .join(', ')}`,
  )
  t.equal((await relay.end('SIGTERM')).code, 0)
}

function configure(directory: string, port: number, crm: string): string {
  writeFileSync(join(directory, 'hook.sh'), 'echo "$RELAY_CALL_ID" >> hook.log\n')
  return writeConfig(directory, {
    server: { listen: `127.0.0.1:${port}` },
    // What is delivered is removed at once, so that kills hit that too; who it was stays on record.
    outbox: { path: './relay.db', retention: { delivered: '1s' } },
    sources: { ultravox: { scheme: 'ultravox', secrets: [SECRET] } },
    targets: {
      crm: { type: 'http', url: crm, ordered: 'call', breaker: { failures: 1_000 } },
      hook: { type: 'exec', command: ['/bin/sh', 'hook.sh'], breaker: { failures: 1_000 }, concurrency: 8 },
    },
    routes: [
      { events: ['*'], to: ['crm'] },
      { events: [HOOKED], to: ['hook'] },
    ],
    retry: { initialDelay: '20ms', maxDelay: '200ms' },
  })
}

/** An http target that fails or refuses now and then until it is healed; `taken`: how often it took each call. */
async function troubledTarget(t: Test, random: () => number) {
  const taken = new Map<string, number>()
  let isHealed = false
  const { origin } = await rawHttpServer(t, (request, response) => {
    request.on('error', () => {}).resume()
    request.on('end', () => {
      const luck = isHealed ? 1 : random()
      if (luck < 0.05) return response.writeHead(luck < 0.01 ? 404 : 503).end()
      const callId = String(request.headers['x-relay-call-id'])
      taken.set(callId, (taken.get(callId) ?? 0) + 1)
      response.end()
    })
  })
  return {
    origin,
    taken,
    heal() {
      isHealed = true
    },
  }
}

/** Send unique calls, each again and again until it is acknowledged, as the provider does. */
function startClients(url: string, pick: <T>(of: readonly T[]) => T) {
  const acknowledged = new Map<string, string>()
  let isOver = false
  let calls = 0
  const client = async () => {
    while (!isOver) {
      const [callId, event] = [`call-${++calls}`, pick(NAMES)]
      const body = bodyOf(event, callId)
      while (!isOver) {
        const status = await send(url, body).then(
          (answer) => answer.status,
          // It is not there, or went in the middle of it.
          () => 0,
        )
        await sleep(PAUSE_MS)
        if (status < 200 || status > 299) continue
        acknowledged.set(callId, event)
        break
      }
    }
  }
  const clients = Array.from({ length: CLIENTS }, client)
  return {
    acknowledged,
    async stop() {
      isOver = true
      await Promise.all(clients)
    },
  }
}

/** Reads what a relay prints, and when it said that it has started. */
function listenTo(relay: ReturnType<typeof spawnRelay>) {
  let text = ''
  let at: number | undefined
  const started = new Promise<void>((resolve) => {
    const hear = (chunk: Buffer) => {
      text += chunk
      const isNew = at === undefined && text.includes('"relay started"')
      text = text.slice(-4_000)
      if (!isNew) return
      at = performance.now()
      resolve()
    }
    relay.stdout!.on('data', hear)
    relay.stderr!.on('data', hear)
  })
  return { started, startedAt: () => at, text: () => text }
}
