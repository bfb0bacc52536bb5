import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Surroundings, startProgram, startRelay, WAITING } from './processes.ts'
import { areaOf, type Frame, type Profile, selfTimes } from './profiles.ts'
import { signedRequests, WARM_UP_S } from './requests.ts'
import { load } from './wrk.ts'

const SECONDS = 6
const CONNECTIONS = 64
const SHOWN = 20

/** The program behind profile.sh. Its arguments: what to load the relay with, and where to put the profiles. */
const [, , what, profiles] = process.argv
const around = new Surroundings()
try {
  const { events, from, to } = await (what === 'deliver' ? deliver() : ingest())
  console.log(`${Math.round(events / SECONDS)} events/s; profiles in ${profiles}`)
  for (const file of readdirSync(profiles!).sort()) {
    const [, thread] = /^CPU\.\d+\.\d+\.\d+\.(\d+)\./.exec(file)!
    const profile = JSON.parse(readFileSync(join(profiles!, file), 'utf8')) as Profile
    show(thread === '0' ? 'main thread' : `worker ${thread}`, selfTimes(profile, from, to), events)
  }
} finally {
  await around.end()
}

/** What was profiled: how many events, from when to when (µs, of the monotonic clock). */
interface Profiled {
  readonly events: number
  readonly from: number
  readonly to: number
}

function ingest(): Promise<Profiled> {
  return profiled(WAITING, async () => {})
}

async function deliver(): Promise<Profiled> {
  const sinks = [await startProgram('sink'), await startProgram('sink')]
  const targets = sinks.map(({ port }, at) => [`target-${at}`, { type: 'http', url: `http://127.0.0.1:${port}/` }])
  const done = async (events: number) => {
    for (const sink of sinks) await sink.ask(String(events))
  }
  return profiled(Object.fromEntries(targets), done)
}

async function profiled(targets: Record<string, object>, done: (events: number) => Promise<void>): Promise<Profiled> {
  const requests = await signedRequests(SECONDS)
  const profiledThreads = new URL('./programs/profiled-threads.js', import.meta.url).href
  const nodeArgs = ['--import', profiledThreads, '--cpu-prof', '--cpu-prof-interval=500', `--cpu-prof-dir=${profiles}`]
  const relay = await startRelay({ directory: around.fresh(), targets, nodeArgs })
  const options = { port: relay.port, connections: CONNECTIONS, requests }
  const warmed = await load({ ...options, seconds: WARM_UP_S })
  await done(warmed.requestCount)
  const from = microseconds()
  const { requestCount: events } = await load({
    ...options,
    seconds: SECONDS,
    first: warmed.requestCount + CONNECTIONS,
  })
  await done(warmed.requestCount + events)
  const to = microseconds()
  // The profiles are written at its end.
  await relay.end()
  return { events, from, to }
}

function microseconds(): number {
  return Number(process.hrtime.bigint() / 1_000n)
}

function show(thread: string, times: ReadonlyMap<Frame, number>, events: number): void {
  const byArea = new Map<string, number>()
  const byFunction = new Map<string, number>()
  const add = (to: Map<string, number>, name: string, time: number) => to.set(name, (to.get(name) ?? 0) + time)
  for (const [frame, time] of times) {
    add(byArea, areaOf(frame), time)
    add(byFunction, `${frame.name}  ${frame.place}`, time)
  }
  const lines = (of: Map<string, number>) =>
    [...of]
      .sort(([, one], [, other]) => other - one)
      .slice(0, SHOWN)
      .map(([name, time]) => `${(time / events).toFixed(1).padStart(8)}  ${name}`)
  console.log(`\n${thread}, µs an event, by area\n${lines(byArea).join('\n')}`)
  console.log(`\n${thread}, µs an event, by function\n${lines(byFunction).join('\n')}`)
}
