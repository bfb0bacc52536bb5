import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { eventually } from '../eventually.ts'
import { httpServer } from '../local-server.ts'
import { scratch } from '../scratch.ts'
import { movedClock } from './moved-clock.ts'
import { startRelay, writeConfig } from './relay-process.ts'
import { bodyOf, SECRET, send } from './ultravox-sender.ts'

const NEEDED = 'needs the Debian package faketime'
const HOUR_S = 3_600

t.test('a clock that jumps by an hour either way neither stops the retries nor makes a storm of them', async (t) => {
  const directory = scratch(t)
  const clock = movedClock(directory)
  if (clock === null) return t.plan(0, NEEDED)
  const crm = await httpServer(t, (response) => response.writeHead(503).end())
  const config = writeConfig(directory, {
    sources: { ultravox: { scheme: 'ultravox', secrets: [SECRET] } },
    targets: { crm: { type: 'http', url: crm.origin, concurrency: 2, breaker: { failures: 1000 } } },
    routes: [{ events: ['*'], to: ['crm'] }],
    retry: { initialDelay: '500ms', factor: 1, maxDelay: '500ms', jitter: 0 },
  })
  const relay = await startRelay(t, config, clock.env)
  await send(`${relay.origin}/webhooks/ultravox`, bodyOf('call.ended'))
  await eventually(() => crm.received.length >= 1, 'the first attempt')

  let shift = 0
  for (const jump of [-HOUR_S, HOUR_S, HOUR_S, -HOUR_S]) {
    shift += jump
    clock.set(shift)
    const before = crm.received.length
    await eventually(() => crm.received.length >= before + 2, `retries go on after ${jump} s`)
    const [settled, since] = [crm.received.length, performance.now()]
    await sleep(1_000)
    const seconds = (performance.now() - since) / 1_000
    const more = crm.received.length - settled
    t.ok(more <= 2 * seconds + 1, `${more} attempts in ${seconds} s after ${jump} s`)
  }
  const line = relay.log.findLast(({ msg }) => msg === 'delivery attempted')
  t.ok(Math.abs(Date.parse(line!.time as string) - clock.now()) < 60_000, 'the clock was really moved')
})

t.test('what a clock that was a month ahead has put off goes out when it is right again', async (t) => {
  const directory = scratch(t)
  const clock = movedClock(directory)
  if (clock === null) return t.plan(0, NEEDED)
  let status = 503
  const targets = ['plain', 'ordered', 'broken']
  const service = await httpServer(t, (response) => response.writeHead(status).end())
  const to = (name: string) => ({ type: 'http', url: `${service.origin}/${name}`, breaker: { failures: 1_000 } })
  const config = writeConfig(directory, {
    sources: { ultravox: { scheme: 'ultravox', secrets: [SECRET] } },
    targets: {
      plain: to('plain'),
      ordered: { ...to('ordered'), ordered: 'call' },
      broken: { ...to('broken'), breaker: { failures: 1, cooldown: '1s' } },
    },
    routes: [{ events: ['*'], to: targets }],
    retry: { initialDelay: '1s', factor: 1, maxDelay: '1s' },
  })
  clock.set(30 * 24 * HOUR_S)
  const ahead = await startRelay(t, config, clock.env)
  for (const event of ['call.started', 'call.ended']) {
    const answer = await send(`${ahead.origin}/webhooks/ultravox`, bodyOf(event, 'of-a-call'), {
      signedAt: clock.now(),
    })
    t.equal(answer.status, 204)
  }
  const has = (name: string) => service.received.some(({ url }) => url === `/${name}`)
  await eventually(() => targets.every(has), 'each is tried')
  const opened = () => ahead.log.some(({ msg }) => /breaker/i.test(msg))
  await eventually(opened, 'a breaker opens')
  await ahead.end('SIGKILL')

  clock.set(0)
  status = 200
  const before = service.received.length
  await startRelay(t, config, clock.env)
  await eventually(() => service.received.length >= before + 2 * targets.length, 'all of it goes out')
})
