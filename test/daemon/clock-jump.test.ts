import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { eventually } from '../eventually.ts'
import { httpServer } from '../local-server.ts'
import { startRelay, writeConfig } from './relay-process.ts'
import { bodyOf, SECRET, send } from './ultravox-sender.ts'

/** Debian's package `faketime`. */
const LIBRARY = '/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1'
const HOUR_S = 3_600

t.test('a clock that jumps by an hour either way neither stops the retries nor makes a storm of them', async (t) => {
  if (!existsSync(LIBRARY)) {
    t.plan(0, 'needs the Debian package faketime')
    return
  }
  const directory = t.testdir()
  const offset = join(directory, 'offset')
  const setClock = (seconds: number) => writeFileSync(offset, `${seconds >= 0 ? '+' : ''}${seconds}s\n`)
  setClock(0)
  const crm = await httpServer(t, (response) => response.writeHead(503).end())
  const config = writeConfig(directory, {
    sources: { ultravox: { scheme: 'ultravox', secrets: [SECRET] } },
    targets: { crm: { type: 'http', url: crm.origin, concurrency: 2, breaker: { failures: 1000 } } },
    routes: [{ events: ['*'], to: ['crm'] }],
    retry: { initialDelay: '1s', factor: 1, maxDelay: '1s', jitter: 0 },
  })
  const relay = await startRelay(t, config, {
    LD_PRELOAD: LIBRARY,
    FAKETIME_TIMESTAMP_FILE: offset,
    FAKETIME_NO_CACHE: '1',
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  })
  await send(`${relay.origin}/webhooks/ultravox`, bodyOf('call.ended'))
  await eventually(() => crm.received.length >= 1, 'the first attempt')

  let shift = 0
  for (const jump of [-HOUR_S, HOUR_S, HOUR_S, -HOUR_S]) {
    shift += jump
    setClock(shift)
    const before = crm.received.length
    await eventually(() => crm.received.length >= before + 2, `retries go on after ${jump} s`, 10_000)
    const settled = crm.received.length
    await sleep(1_000)
    t.ok(crm.received.length - settled <= 2, `${crm.received.length - settled} attempts in a second after ${jump} s`)
  }
  const line = relay.log.findLast(({ msg }) => msg === 'delivery attempted')
  t.ok(Math.abs(Date.parse(line!.time as string) - (Date.now() + shift * 1000)) < 60_000, 'the clock was really moved')
})
