import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { movedClock } from '../daemon/moved-clock.ts'
import { commandsIn } from '../daemon/operator-commands.ts'
import { startRelay, writeConfig } from '../daemon/relay-process.ts'
import { bodyOf, SECRET, send } from '../daemon/ultravox-sender.ts'
import { eventually } from '../eventually.ts'
import { httpServer } from '../local-server.ts'
import { scratch } from '../scratch.ts'

const HOUR_S = 3_600
const DAY_S = 24 * HOUR_S
/** By how many seconds the clock is off, one after the other. */
const SHIFTS = [HOUR_S, 0, -HOUR_S, DAY_S, 0, -DAY_S, 0]
const SUSPENDED_S = [3 * HOUR_S, 2 * DAY_S]

t.test('whatever is done to the clock, events are taken, and retries neither stall nor storm', async (t) => {
  const directory = scratch(t)
  const clock = movedClock(directory)
  if (clock === null) return t.plan(0, 'needs the Debian package faketime')
  const service = await httpServer(t, (response, { url }) => response.writeHead(url === '/down' ? 503 : 200).end())
  const config = writeConfig(directory, {
    sources: { ultravox: { scheme: 'ultravox', secrets: [SECRET] } },
    targets: {
      down: { type: 'http', url: `${service.origin}/down`, concurrency: 2, breaker: { failures: 100_000 } },
      ordered: { type: 'http', url: `${service.origin}/ordered`, ordered: 'call' },
    },
    routes: [
      { events: ['call.started'], to: ['down'] },
      { events: ['*'], to: ['ordered'] },
    ],
    retry: { initialDelay: '1s', factor: 1, maxDelay: '1s', jitter: 0 },
  })
  const relay = await startRelay(t, config, clock.env)
  const url = `${relay.origin}/webhooks/ultravox`
  const attempts = (path: string) => service.received.filter((request) => request.url === path).length
  let calls = 0
  let most = 0

  /** What has to hold at any time. */
  async function allGoesOn(when: string): Promise<void> {
    const callId = `call-${++calls}`
    const [down, ordered] = [attempts('/down'), attempts('/ordered')]
    for (const event of ['call.joined', 'call.ended']) {
      const { status } = await send(url, bodyOf(event, callId), { signedAt: clock!.now() })
      t.equal(status, 204, `an event that is signed by that clock is taken, ${when}`)
    }
    await eventually(() => attempts('/ordered') >= ordered + 2, `an ordered target gets both, ${when}`, 10_000)
    await eventually(() => attempts('/down') >= down + 4, `retries go on, ${when}`, 15_000)
    const before = attempts('/down')
    const since = performance.now()
    await sleep(1_000)
    const perSecond = ((attempts('/down') - before) / (performance.now() - since)) * 1_000
    most = Math.max(most, perSecond)
  }

  for (const n of [1, 2]) await send(url, bodyOf('call.started', `down-${n}`))
  await allGoesOn('at first')
  for (const shift of SHIFTS) {
    clock.set(shift)
    await allGoesOn(`with the clock off by ${shift} s`)
    if (shift === 0) continue
    const stale = await send(url, bodyOf('call.billed', `stale-${shift}`))
    t.equal(stale.status, 401, 'what another clock has signed is too old or too new')
  }
  for (const seconds of SUSPENDED_S) {
    relay.process.kill('SIGSTOP')
    await sleep(2_000)
    clock.set(seconds)
    relay.process.kill('SIGCONT')
    await allGoesOn(`after ${seconds} s of sleep`)
    clock.set(0)
    await allGoesOn('with the clock right again')
  }
  // Two deliveries, each tried once a second.
  t.ok(most <= 6, `never a storm: at most ${most.toFixed(1)} attempts a second`)
  const { rejections } = await commandsIn(directory).json('rejections list')
  t.equal((rejections as unknown[]).length, SHIFTS.filter((shift) => shift !== 0).length, 'what was refused is kept')
  t.comment(`${SHIFTS.length} moves of the clock and ${SUSPENDED_S.length} suspends, ${calls * 2} events taken`)
  t.comment(`at most ${most.toFixed(1)} attempts a second where 2 were due`)
})

t.test('a running relay deletes nothing for its age while its clock is wrong', async (t) => {
  const directory = scratch(t)
  const clock = movedClock(directory)
  if (clock === null) return t.plan(0, 'needs the Debian package faketime')
  const service = await httpServer(t, (response) => response.writeHead(200).end())
  const config = writeConfig(directory, {
    outbox: { path: './relay.db' },
    sources: { ultravox: { scheme: 'ultravox', secrets: [SECRET] } },
    targets: { crm: { type: 'http', url: service.origin } },
    routes: [{ events: ['*'], to: ['crm'] }],
  })
  const relay = await startRelay(t, config, clock.env)
  const url = `${relay.origin}/webhooks/ultravox`
  const { json } = commandsIn(directory)
  const said = (msg: string) => relay.log.filter((line) => line.msg === msg).length
  const sent = Array.from({ length: 5 }, () => bodyOf('call.ended'))
  for (const body of sent) t.equal((await send(url, body)).status, 204)
  await eventually(() => service.received.length === 5, 'delivered')
  for (const [n, days] of [401, -10].entries()) {
    clock.set(days * DAY_S)
    await eventually(() => said('clock was set, retention held') === n + 1, `noticed: ${days} days`)
    t.equal((await send(url, bodyOf('call.billed'))).status, 401, 'refused by that clock, and kept')
    // Long enough for a look at everything.
    await sleep(65_000)
    clock.set(0)
    await eventually(() => said('clock confirmed or set back, retention resumed') === n + 1, 'set right')
    await sleep(65_000)
    t.equal(((await json('rejections list')).rejections as unknown[]).length, n + 1, 'none is deleted')
  }
  for (const body of sent) t.equal((await send(url, body)).status, 204)
  const { events } = await json('events list --event call.ended')
  t.match(events, Array(5).fill({ duplicates: 1, prunedAt: null }), 'all are on record, and recognised')
  t.equal(service.received.length, 5, 'each was delivered once')
})
