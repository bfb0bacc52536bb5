/**
 * A program that measures, for how long a healthy target's events are under way (receipt to arrival, 99th percentile, in
 * milliseconds) beside the troubled targets that its arguments name. It is no test, and not part of one's process: what
 * a test runner does to follow promises takes more time than what is measured.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Capacities } from '../../src/delivery/capacity.ts'
import { Lane } from '../../src/delivery/lane.ts'
import { Lanes } from '../../src/delivery/lanes.ts'
import { systemClock } from '../../src/domain/clock.ts'
import { Secret } from '../../src/domain/secret.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { createExecTarget } from '../../src/targets/exec.ts'
import { createHttpTarget } from '../../src/targets/http.ts'
import { Launcher } from '../../src/targets/launcher.ts'
import type { Target } from '../../src/targets/target.ts'
import { eventually } from '../eventually.ts'
import { httpServer, tcpServer } from '../local-server.ts'
import { newEvent, to } from '../outbox/samples.ts'
import { scratch } from '../scratch.ts'
import type { Trouble } from './isolation.ts'

const BACKLOG = 1_000

const EVENTS = 500
/** Events that are not counted: the code is compiled, connections are made, the backlog is still being written. */
const WARM_UP = 100

const clock = systemClock
const launcher = new Launcher()
const silent = {
  attempted: () => {},
  superseded: () => {},
  opened: () => {},
  closed: () => {},
  outboxUnavailable: () => {},
}

function http(name: string, url: string): Target {
  const rest = { method: 'POST', headers: {}, timeoutMs: 2_000, sign: null, concurrency: 8, retryOn: [] } as const
  return createHttpTarget({ name, url: new Secret(url), ...rest }, clock)
}

/** What has to be ended when all is measured, last first. */
const endings: (() => unknown)[] = []
const t = { teardown: (end: () => unknown) => void endings.unshift(end) }
const directory = scratch(t)

/** The four kinds of trouble that a target can be. */
const TROUBLES: Record<Trouble, () => Promise<Target>> = {
  async silent() {
    const { origin } = await tcpServer(t, () => {})
    return http('silent', origin)
  },
  async dripping() {
    const { origin } = await tcpServer(t, (socket) => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n')
      const drip = setInterval(() => socket.write('.'), 1_000)
      socket.on('close', () => clearInterval(drip))
    })
    return http('dripping', origin)
  },
  async nameless() {
    return http('nameless', 'http://no-such-host.invalid/')
  },
  async sleeping() {
    const command = join(directory, 'sleep.sh')
    writeFileSync(command, '#!/bin/sh\nexec sleep 60\n', { mode: 0o755 })
    const options = { name: 'sleeping', command: [command], directory, timeoutMs: 2_000, env: {}, passEnv: [] } as const
    return createExecTarget(options, launcher)
  },
}

/** Starts lanes for a healthy target and these others on an outbox of their own, and gives the p99 of the healthy one. */
async function measureP99(others: Target[]): Promise<number> {
  const latencies: number[] = []
  const receivedAt = new Map<string, number>()
  const sink = await httpServer(t, (response, { headers }) => {
    latencies.push(performance.now() - receivedAt.get(headers['webhook-id'] as string)!)
    response.end()
  })
  const outbox = await SqliteOutbox.open(join(directory, 'relay.db'), (error) => {
    throw error
  })
  const policy = {
    initialDelayMs: 5_000,
    factor: 2,
    maxDelayMs: 60_000,
    jitter: 0.2,
    giveUpAfterMs: null,
    maxAttempts: null,
  }
  const capacities = new Capacities()
  const lanes = [http('healthy', sink.origin), ...others].map((target) => {
    const own = {
      target,
      outbox,
      concurrency: target.name === 'sleeping' ? 2 : 8,
      rateLimit: null,
      capacity: capacities.of(target.name),
      policy,
    }
    // The breaker would take the trouble away; here it is to stay.
    const breaker = { failures: 1_000_000, cooldownMs: 1_000, maxCooldownMs: 1_000 }
    const lane = new Lane({
      ...own,
      breaker,
      ordered: false,
      holdOnDead: false,
      clock,
      random: Math.random,
      log: silent,
    })
    return [target.name, { lane, order: 'none', maxDelayMs: 10_000, paused: false }] as const
  })
  const all = new Lanes(new Map(lanes), {
    outbox,
    capacities,
    clock: systemClock,
    log: { orphaned: () => {}, outboxUnavailable: () => {} },
  })
  await all.start()
  const names = others.map(({ name }) => name)
  if (names.length > 0) {
    const backlog = Array.from({ length: BACKLOG }, () => newEvent({ receivedAt: clock.now() }))
    await Promise.all(backlog.map((event) => outbox.record(event, to('silent'))))
    await all.refresh()
  }
  for (let n = 0; n < WARM_UP + EVENTS; n++) {
    const event = newEvent({ receivedAt: clock.now() })
    receivedAt.set(event.eventId, performance.now())
    await all.record(event, ['healthy', ...names])
    await sleep(4)
  }
  await eventually(() => latencies.length === WARM_UP + EVENTS, 'all have arrived at the healthy target')
  await all.stop(0)
  await outbox.close()
  const counted = latencies.slice(WARM_UP).toSorted((a, b) => a - b)
  return counted[Math.floor(EVENTS * 0.99)]!
}

const troubles = process.argv.slice(2) as Trouble[]
const others = await Promise.all(troubles.map((trouble) => TROUBLES[trouble]()))
console.log(await measureP99(others))
for (const end of endings) await end()
await launcher.close()
