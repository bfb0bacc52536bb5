/**
 * A program that keeps a relay busy for $MINUTES at half of what it can do, beside a target that fails half of the time, and
 * looks at what it takes of the machine: prints a table of samples, and whether each promise was kept; ends with 1 where
 * one was not. It is no test, and not part of one's process: what a test runner does to follow promises takes time.
 */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { SECRET } from '../daemon/ultravox-sender.ts'
import { eventually } from '../eventually.ts'
import { scratch } from '../scratch.ts'
import { startLongLived } from '../soak/long-lived-relay.ts'
import { type Arrivals, isBilled } from '../soak/numbered-calls.ts'
import { sizeOf } from '../soak/process-size.ts'
import { MOST_UNDER_WAY, startLoad } from '../soak/running-load.ts'
import { type Sample, tableOf, takeSample } from '../soak/sample.ts'
import { numberedHook, numberedTarget } from '../soak/targets.ts'
import { judgeSizes, type Verdict } from '../soak/verdicts.ts'

const soakMs = Number(process.env.MINUTES ?? 30) * 60_000
const share = Number(process.env.SHARE ?? 0.5)
/** Below, what comes and goes with the waves of load hides what stays. */
const LEAST_FOR_TRENDS_MS = 600_000
const sampleMs = Math.min(5_000, soakMs / 24)
/** How long the flapping target is up, and then down. */
const flapMs = Math.min(30_000, soakMs / 6)
const capacityMs = Math.min(20_000, soakMs / 4)
/** A backlog of so many seconds of load is one that the machine has no time for. */
const BACKLOG_SECONDS = 2
/** So that not the waits for two busy targets are what is measured, but the work of the relay. */
const CONCURRENCY = 32
/** What is opened when it is first needed: the process that starts hooks, SQLite's log. */
const DESCRIPTORS_NOISE = 6
const CALM_MS = 180_000

/** What has to be ended when all is over, last first. */
const endings: (() => unknown)[] = []
const t = { teardown: (end: () => unknown) => void endings.unshift(end) }
const say = (line: string) => console.log(`# ${line}`)

async function soak(): Promise<Verdict[]> {
  const directory = scratch(t)
  const [steady, flapping, hook] = [await numberedTarget(t), await numberedTarget(t), numberedHook(directory)]
  const seconds = (ms: number) => `${Math.max(1, Math.round(ms / 1_000))}s`
  const age = seconds(Math.min(60_000, soakMs / 9))
  const config = {
    sources: { ultravox: { scheme: 'ultravox', secrets: [SECRET] } },
    targets: {
      steady: { type: 'http', url: steady.url, concurrency: CONCURRENCY },
      flapping: {
        type: 'http',
        url: flapping.url,
        concurrency: CONCURRENCY,
        timeout: '2s',
        breaker: { failures: 10, cooldown: seconds(flapMs / 30), maxCooldown: seconds(flapMs / 10) },
      },
      hook: { type: 'exec', command: hook.command },
    },
    routes: [
      { events: ['*'], to: ['steady', 'flapping'] },
      { events: ['call.billed'], to: ['hook'] },
    ],
    retry: { initialDelay: '1s', maxDelay: seconds(flapMs / 6) },
    outbox: {
      path: './relay.db',
      retention: { delivered: age, dead: age, rejections: age },
    },
  }
  const relay = await startLongLived(t, directory, config)
  const load = startLoad(t, `${relay.origin}/webhooks/ultravox`, SECRET)
  const descriptors = () => sizeOf(relay.pid).files + sizeOf(relay.pid).sockets
  const atFirst = descriptors()
  const pendingNow = async () => (await takeSample(relay, directory, { at: 0, acknowledged: 0 })).pending
  const calm = () =>
    eventually(
      async () => Object.values(await pendingNow()).every((count) => count === 0),
      'all that was acknowledged is delivered',
      CALM_MS,
    )

  // All that comes in while it takes what it can, until the last of it has arrived: more it cannot do in the long run.
  const from = performance.now()
  await load.at(Number.POSITIVE_INFINITY)
  await sleep(capacityMs)
  const { acknowledged: taken } = await load.at(0)
  const takenIn = performance.now() - from
  await calm()
  const all = Math.min(steady.arrivals.distinct, flapping.arrivals.distinct)
  const capacity = (all * 1_000) / (performance.now() - from)
  const perSecond = ((taken * 1_000) / takenIn).toFixed(0)
  say(
    `capacity: ${capacity.toFixed(0)} events/s, delivered to two targets; for ${seconds(takenIn)}, ${perSecond} were taken`,
  )

  let rate = capacity * share
  say(
    `soak of ${(soakMs / 60_000).toFixed(1)} minutes at ${rate.toFixed(0)} events/s, flapping every ${seconds(flapMs)}`,
  )
  const samples: Sample[] = []
  const startedAt = performance.now()
  const ease = (why: string) => {
    rate *= 0.8
    say(`${((performance.now() - startedAt) / 1_000).toFixed(0)} s: ${why}, on with ${rate.toFixed(0)} events/s`)
  }
  await load.at(rate)
  for (let tick = 1; tick * sampleMs <= soakMs; tick++) {
    await sleep(Math.max(0, startedAt + tick * sampleMs - performance.now()))
    const { acknowledged } = await load.at(rate)
    const at = (performance.now() - startedAt) / 1_000
    const sample = await takeSample(relay, directory, { at, acknowledged })
    samples.push(sample)
    const wasUp = flapping.state.up
    flapping.state.up = Math.floor((tick * sampleMs) / flapMs) % 2 === 0
    // Other things run on this machine too: what is too much for it now would be a backlog, and not what is looked for.
    if (sample.due.steady! > rate * BACKLOG_SECONDS) ease(`${sample.due.steady} wait for the steady target`)
    else if (wasUp && !flapping.state.up && sample.pending.flapping! > rate * BACKLOG_SECONDS)
      ease(`${sample.pending.flapping} still wait for the flapping target after it was up`)
  }
  flapping.state.up = true
  const sent = await load.end()
  const calmFrom = performance.now()
  await calm()
  const calmMs = performance.now() - calmFrom
  for (const line of tableOf(samples)) say(line)

  // Connections are kept open for some seconds, in case that more is to be sent.
  const isAtRest = () => descriptors() <= atFirst + DESCRIPTORS_NOISE
  await eventually(isAtRest, 'connections are closed', 30_000).catch(() => {})
  const atLast = descriptors()
  const code = await relay.stop()

  const refused = new Set(sent.unacknowledged)
  const acknowledged = Array.from({ length: sent.sent }, (_, n) => n).filter((n) => !refused.has(n))
  const missingFrom = (arrivals: Arrivals, expected: readonly number[]) =>
    expected.filter((n) => !arrivals.has(n)).length
  const hooked = hook.read()
  const billed = acknowledged.filter(isBilled)
  const missing = {
    steady: missingFrom(steady.arrivals, acknowledged),
    flapping: missingFrom(flapping.arrivals, acknowledged),
    hook: missingFrom(hooked, billed),
  }
  const warnings = readFileSync(relay.warnings, 'utf8').split('\n').filter(Boolean)
  const errors = warnings.filter((line) => !line.includes('"level":"warn"'))
  const messages = new Map<string, number>()
  for (const line of warnings) {
    const { msg } = JSON.parse(line) as { msg: string }
    messages.set(msg, (messages.get(msg) ?? 0) + 1)
  }
  for (const [msg, times] of messages) say(`logged ${times} times: ${msg}`)
  const repeated = `twice or more: ${steady.arrivals.repeated}, ${flapping.arrivals.repeated}, ${hooked.repeated}`
  const { failed, stalled } = flapping.state
  return [
    {
      promise: 'whatever was acknowledged has arrived at every target',
      isKept: Object.values(missing).every((count) => count === 0),
      figures: `${acknowledged.length} events, ${billed.length} hooks; missing ${JSON.stringify(missing)}; ${repeated}`,
    },
    {
      promise: 'no genuine event was refused',
      isKept: refused.size === 0 && Object.keys(sent.duplicates).every((status) => status === '204'),
      figures: `refused ${JSON.stringify(sent.refusals)}, duplicates ${JSON.stringify(sent.duplicates)}`,
    },
    {
      promise: 'every forgery was refused',
      isKept: Object.keys(sent.forgeries).every((status) => ['401', '429'].includes(status)),
      figures: JSON.stringify(sent.forgeries),
    },
    {
      promise: 'the flapping target was really failing, and its backlog is gone',
      isKept: failed > 0 && stalled > 0,
      figures: `${failed} answered 500, ${stalled} never; all delivered ${(calmMs / 1_000).toFixed(1)} s after the load`,
    },
    ...judgeSizes(samples, {
      period: (2 * flapMs) / 1_000,
      tellsTrends: soakMs >= LEAST_FOR_TRENDS_MS,
      mostSockets: atFirst + MOST_UNDER_WAY + 2 * CONCURRENCY + DESCRIPTORS_NOISE,
    }),
    {
      promise: 'at rest it has the file descriptors that it began with',
      isKept: atLast <= atFirst + DESCRIPTORS_NOISE,
      figures: `${atFirst} before, ${atLast} after (bound ${atFirst + DESCRIPTORS_NOISE})`,
    },
    {
      promise: 'it ended in good order and logged no error',
      isKept: code === 0 && errors.length === 0,
      figures: `exit ${code}; ${warnings.length - errors.length} warnings, ${errors.length} errors ${errors[0] ?? ''}`,
    },
  ]
}

async function end(): Promise<void> {
  for (const ending of endings.splice(0)) await ending()
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void end().then(() => process.exit(1)))
const verdicts = await soak().finally(end)
for (const { promise, isKept, figures } of verdicts) console.log(`${isKept ? 'ok' : 'NOT OK'} - ${promise}: ${figures}`)
process.exitCode = verdicts.every(({ isKept }) => isKept) ? 0 : 1
