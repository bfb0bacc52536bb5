import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { movedClock } from '../daemon/moved-clock.ts'
import { commandsIn } from '../daemon/operator-commands.ts'
import { type RelayProcess, startRelay, writeConfig } from '../daemon/relay-process.ts'
import { bodyOf, SECRET, send } from '../daemon/ultravox-sender.ts'
import { eventually } from '../eventually.ts'
import { httpServer } from '../local-server.ts'
import { scratch } from '../scratch.ts'

/** Longer than `giveUpAfter`. */
const STOPPED_MS = 7_000
const WEEK_S = 7 * 24 * 3_600

t.test('a delivery is not given up for time in which nothing could be tried', { timeout: 240_000 }, async (t) => {
  const directory = scratch(t)
  const clock = movedClock(directory)
  let status = 503
  let answerAfterMs = 0
  const service = await httpServer(t, async (response) => {
    const answer = status
    await sleep(answerAfterMs)
    response.writeHead(answer).end()
  })
  const crm = { type: 'http', url: service.origin, breaker: { failures: 1_000 } }
  const configure = (targets: Record<string, unknown>) =>
    writeConfig(directory, {
      sources: { ultravox: { scheme: 'ultravox', secrets: [SECRET] } },
      targets: { other: { type: 'exec', command: ['true'] }, ...targets },
      routes: [{ events: ['*'], to: Object.keys(targets).concat('other') }],
      retry: { initialDelay: '1s', factor: 1, maxDelay: '1s', jitter: 0, giveUpAfter: '6s' },
    })
  const { run, deliveries } = commandsIn(directory)
  let relay: RelayProcess = await startRelay(t, configure({ crm }), clock?.env)
  const reloadWith = async (targets: Record<string, unknown>) => {
    configure(targets)
    t.equal((await run('reload')).code, 0)
  }
  const endAndStart = async (signal: NodeJS.Signals) => {
    await relay.end(signal)
    await sleep(STOPPED_MS)
    relay = await startRelay(t, configure({ crm }), clock?.env)
  }
  const interruptions: Readonly<Record<string, () => Promise<void>>> = {
    async 'paused and resumed by command'() {
      await run('targets pause crm')
      await sleep(STOPPED_MS)
      await run('targets resume crm')
    },
    async 'paused by command during an attempt'() {
      answerAfterMs = STOPPED_MS + 1_000
      const before = service.received.length
      await eventually(() => service.received.length > before, 'an attempt that takes long', 10_000)
      answerAfterMs = 0
      await run('targets pause crm')
      await sleep(STOPPED_MS + 2_000)
      await run('targets resume crm')
    },
    async 'paused by the configuration'() {
      await reloadWith({ crm: { ...crm, paused: true } })
      await sleep(STOPPED_MS)
      await reloadWith({ crm })
    },
    async 'missing from the configuration'() {
      await reloadWith({})
      await sleep(STOPPED_MS)
      await reloadWith({ crm })
    },
    'without a relay': () => endAndStart('SIGTERM'),
    'without a relay, which was killed': () => endAndStart('SIGKILL'),
    async frozen() {
      relay.process.kill('SIGSTOP')
      await sleep(STOPPED_MS)
      relay.process.kill('SIGCONT')
    },
    async suspended() {
      clock?.set(WEEK_S)
    },
  }
  for (const [how, interrupt] of Object.entries(interruptions)) {
    status = 503
    const first = service.received.length
    const callId = how.replaceAll(/\W+/g, '-')
    const signedAt = clock?.now() ?? Date.now()
    t.equal((await send(`${relay.origin}/webhooks/ultravox`, bodyOf('call.ended', callId), { signedAt })).status, 204)
    await eventually(() => service.received.length > first, 'the first attempt')
    await interrupt()
    const again = service.received.length
    await eventually(() => service.received.length > again, 'an attempt that fails', 15_000)
    status = 200
    const list = () => deliveries(`--call ${callId} --target crm`)
    const isOver = async () => (await list()).every(({ state }) => state !== 'pending')
    const until = performance.now() + 15_000
    while (!(await isOver()) && performance.now() < until) await sleep(200)
    t.match(await list(), [{ state: 'delivered' }], how)
  }
})

t.test('a reload with a lower maxDelay spreads what the target has put off', { timeout: 120_000 }, async (t) => {
  const EVENTS = 60
  const directory = scratch(t)
  const arrivals: number[] = []
  const service = await httpServer(t, (response) => {
    arrivals.push(performance.now())
    response.writeHead(503, { 'retry-after': '60' }).end()
  })
  const configure = (maxDelay: string) =>
    writeConfig(directory, {
      sources: { ultravox: { scheme: 'ultravox', secrets: [SECRET] } },
      targets: { crm: { type: 'http', url: service.origin, breaker: { failures: 1_000 } } },
      routes: [{ events: ['*'], to: ['crm'] }],
      retry: { initialDelay: '1s', factor: 2, maxDelay, giveUpAfter: '1d' },
    })
  const relay = await startRelay(t, configure('2m'))
  for (let n = 0; n < EVENTS; n++) await send(`${relay.origin}/webhooks/ultravox`, bodyOf('call.ended', `call-${n}`))
  await eventually(() => arrivals.length === EVENTS, 'the first attempts')
  configure('10s')
  const { run } = commandsIn(directory)
  t.equal((await run('reload')).code, 0)
  const reloadedAt = performance.now()
  await eventually(() => arrivals.length === 2 * EVENTS, 'the second attempts', 20_000)
  const after = arrivals.slice(EVENTS).map((at) => at - reloadedAt)
  t.comment(`between ${Math.round(after[0]!)} and ${Math.round(after.at(-1)!)} ms after the reload`)
  t.ok(after.at(-1)! < 13_000, 'within the new delay')
  const perSecond = Math.max(...after.map((from) => after.filter((at) => at >= from && at < from + 1_000).length))
  t.ok(perSecond < EVENTS / 4, `at most ${perSecond} in a second`)
})

t.test('events that arrive during a replay are delivered before what is replayed', { timeout: 120_000 }, async (t) => {
  const REPLAYED = 400
  const LIVE = 5
  const directory = scratch(t)
  const received = new Map<string, number>()
  const service = await httpServer(t, (response, { headers }) => {
    received.set(String(headers['webhook-id']), performance.now())
    response.writeHead(200).end()
  })
  const configure = (rateLimit: object) =>
    writeConfig(directory, {
      sources: { ultravox: { scheme: 'ultravox', secrets: [SECRET] } },
      targets: { crm: { type: 'http', url: service.origin, ...rateLimit } },
      routes: [{ events: ['*'], to: ['crm'] }],
    })
  const relay = await startRelay(t, configure({}))
  const sent = Array.from({ length: REPLAYED }, (_, n) => bodyOf('call.ended', `old-${n}`))
  await Promise.all(sent.map((body) => send(`${relay.origin}/webhooks/ultravox`, body)))
  await eventually(() => received.size === REPLAYED, 'all are delivered once')
  configure({ rateLimit: { max: 20, per: '1s' } })
  const { run } = commandsIn(directory)
  t.equal((await run('reload')).code, 0)
  received.clear()
  t.equal((await run('events replay --to crm --since 1h --yes')).code, 0)
  await eventually(() => received.size >= 30, 'the replay is under way')
  const waits: number[] = []
  for (let n = 0; n < LIVE; n++) {
    const before = new Set(received.keys())
    const at = performance.now()
    await send(`${relay.origin}/webhooks/ultravox`, bodyOf('call.ended', `new-${n}`))
    const events = (await commandsIn(directory).json(`events list --call new-${n}`)).events as { eventId: string }[]
    const [{ eventId }] = events as [{ eventId: string }]
    t.notOk(before.has(eventId))
    await eventually(() => received.has(eventId), 'the new event arrives', 10_000)
    waits.push(received.get(eventId)! - at)
  }
  t.comment(`new events arrived after ${waits.map((ms) => `${Math.round(ms)} ms`).join(', ')}`)
  t.ok(Math.max(...waits) < 1_500, 'none waits for the replay')
  t.ok(received.size < REPLAYED, 'which is still under way')
})
