import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { Lane } from '../../src/delivery/lane.ts'
import { Lanes } from '../../src/delivery/lanes.ts'
import { UNLIMITED } from '../../src/delivery/rate-limit.ts'
import { systemClock } from '../../src/domain/clock.ts'
import { Secret } from '../../src/domain/secret.ts'
import { SqliteOutbox } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { createExecTarget } from '../../src/targets/exec.ts'
import { createHttpTarget } from '../../src/targets/http.ts'
import type { Target } from '../../src/targets/target.ts'
import { eventually } from '../eventually.ts'
import { httpServer, tcpServer } from '../local-server.ts'
import { newEvent, to } from '../outbox/contract.ts'

const BACKLOG = 1_000

const EVENTS = 120

const clock = systemClock
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

/** The four kinds of trouble that a target can be. */
export async function troubled(t: Test): Promise<Target[]> {
  const silentServer = await tcpServer(t, () => {})
  const dripping = await tcpServer(t, (socket) => {
    socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n')
    const drip = setInterval(() => socket.write('.'), 1_000)
    socket.on('close', () => clearInterval(drip))
  })
  const directory = t.testdir({ hooks: {} })
  const sleeping = join(directory, 'hooks', 'sleep.sh')
  writeFileSync(sleeping, '#!/bin/sh\nexec sleep 60\n', { mode: 0o755 })
  const exec = { command: [sleeping], directory, timeoutMs: 2_000, env: {}, passEnv: [] } as const
  return [
    http('silent', silentServer.origin),
    http('dripping', dripping.origin),
    http('nameless', 'http://no-such-host.invalid/'),
    createExecTarget({ name: 'sleeping', ...exec, command: [sleeping] }),
  ]
}

/**
 * Starts lanes for a healthy target and these others on an outbox of their own, and gives the 99th percentile of receipt to
 * arrival at the healthy one, in milliseconds.
 */
export async function measureP99(t: Test, others: Target[]): Promise<number> {
  const latencies: number[] = []
  const receivedAt = new Map<string, number>()
  const sink = await httpServer(t, (response, { headers }) => {
    latencies.push(performance.now() - receivedAt.get(headers['webhook-id'] as string)!)
    response.end()
  })
  const path = join(t.testdir({ [`round-${Math.random()}`]: {} }), 'relay.db')
  const outbox = await SqliteOutbox.open(path, (error) => t.fail(error.message))
  const policy = {
    initialDelayMs: 5_000,
    factor: 2,
    maxDelayMs: 60_000,
    jitter: 0.2,
    giveUpAfterMs: null,
    maxAttempts: null,
  }
  const lanes = new Map(
    [http('healthy', sink.origin), ...others].map((target) => {
      const own = { target, outbox, concurrency: target.name === 'sleeping' ? 2 : 8, rate: UNLIMITED, policy }
      // The breaker would take the trouble away; here it is to stay.
      const breaker = { failures: 1_000_000, cooldownMs: 1_000, maxCooldownMs: 1_000 }
      return [
        target.name,
        new Lane({ ...own, breaker, ordered: false, holdOnDead: false, clock, random: Math.random, log: silent }),
      ]
    }),
  )
  const all = new Lanes({
    lanes,
    ordered: new Set(),
    pausedByConfig: new Set(),
    outbox,
    log: { orphaned: () => {}, outboxUnavailable: () => {} },
  })
  await all.start()
  const names = others.map(({ name }) => name)
  if (names.length > 0) {
    const backlog = Array.from({ length: BACKLOG }, () => newEvent({ receivedAt: clock.now() }))
    await Promise.all(backlog.map((event) => outbox.record(event, to('silent'))))
    await all.refresh()
  }
  for (let n = 0; n < EVENTS; n++) {
    const event = newEvent({ receivedAt: clock.now() })
    receivedAt.set(event.eventId, performance.now())
    await all.record(event, ['healthy', ...names])
    await sleep(4)
  }
  await eventually(() => latencies.length === EVENTS, 'all have arrived at the healthy target')
  await all.stop(0)
  await outbox.close()
  return latencies.toSorted((a, b) => a - b)[Math.floor(EVENTS * 0.99)]!
}
