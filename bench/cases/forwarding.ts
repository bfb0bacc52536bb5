import { request } from 'undici'
import { alternate, type Case, FEWER_ROUNDS, type Figure, median, quantile, ratio, type Settings } from '../measure.ts'
import { type Program, type Surroundings, startProgram, startRelay } from '../processes.ts'
import { bodyOf, headersOf, PATH, SECRET, signedRequests, WARM_UP_S } from '../requests.ts'
import { load } from '../wrk.ts'

const CONNECTIONS = 64

/** Starts what takes events and sends them on to two sinks. */
type Start = (urls: readonly string[], directory: string) => Promise<Program>

const relay: Start = (urls, directory) => {
  const targets = Object.fromEntries(urls.map((url, at) => [`target-${at}`, { type: 'http', url, concurrency: 32 }]))
  return startRelay({ directory, targets })
}
const forwarder: Start = (urls) => startProgram('forwarder', SECRET, ...urls)

/** Runs something between a sender and two sinks. */
async function between<T>(
  around: Surroundings,
  start: Start,
  work: (middle: Program, sinks: readonly Program[]) => Promise<T>,
): Promise<T> {
  const sinks = [await startProgram('sink', 'times'), await startProgram('sink')]
  const middle = await start(
    sinks.map(({ port }) => `http://127.0.0.1:${port}/in`),
    around.fresh(),
  )
  try {
    return await work(middle, sinks)
  } finally {
    await middle.end()
    for (const sink of sinks) await sink.end()
  }
}

/** Taking in and sending on at once, as fast as it goes, compared with a forwarder that stores nothing. */
export const FORWARDING: Case = {
  name: 'taking in and delivering to two targets at once',
  async run({ rounds, seconds }: Settings, around: Surroundings): Promise<Figure[]> {
    const requests = await signedRequests(seconds)
    // Until everything has arrived: a backlog that is left behind was not delivered.
    const rate = (start: Start) =>
      between(around, start, async ({ port }, sinks) => {
        const warmed = await load({ port, connections: CONNECTIONS, seconds: WARM_UP_S, requests })
        await arrived(sinks, warmed.requestCount)
        const first = warmed.requestCount + CONNECTIONS
        const startedAt = performance.timeOrigin + performance.now()
        const loaded = await load({ port, connections: CONNECTIONS, seconds, requests, first })
        const seen = await arrived(sinks, warmed.requestCount + Math.floor(loaded.requestCount * 0.99))
        const rates = seen.map(
          ({ received, lastAt }) => (received - warmed.requestCount) / ((lastAt - startedAt) / 1_000),
        )
        return rates.reduce((sum, one) => sum + one, 0)
      })
    const sides = await alternate(
      rounds,
      () => rate(relay),
      () => rate(forwarder),
    )
    const shown = (value: number) => `${Math.round(value)} deliveries/s`
    return [ratio(sides, { name: this.name, floor: 0.6, aim: 0.8, shown, reference: 'a forwarder from memory' })]
  },
}

/** Resolves with what each of them has received when it is so much. */
function arrived(sinks: readonly Program[], count: number): Promise<{ received: number; lastAt: number }[]> {
  return Promise.all(sinks.map(async (sink) => JSON.parse(await sink.ask(String(count)))))
}

const PER_SECOND = 100

/** How long an event takes through the relay when there is little to do, beyond what a forwarder takes. */
export const LATENCY: Case = {
  name: 'receipt to delivery at 100/s',
  async run({ rounds, seconds }: Settings, around: Surroundings): Promise<Figure[]> {
    const requests = await signedRequests(seconds)
    const through = (start: Start) =>
      between(around, start, async ({ port }, sinks) => {
        const warmed = await load({ port, connections: CONNECTIONS, seconds: WARM_UP_S, requests })
        await arrived(sinks, warmed.requestCount)
        const sentAt = await sendSteadily(port, seconds * PER_SECOND)
        await arrived(sinks, warmed.requestCount + sentAt.size)
        const seen = JSON.parse(await sinks[0]!.ask('times')) as [string, number][]
        return seen.flatMap(([callId, at]) => (sentAt.has(callId) ? at - sentAt.get(callId)! : []))
      })
    const { ours, reference } = await alternate(
      Math.min(rounds, FEWER_ROUNDS),
      () => through(relay),
      () => through(forwarder),
    )
    const beyond = (share: number) =>
      median(ours.map((times, round) => quantile(times, share) - quantile(reference[round]!, share)))
    const figure = (share: number, floor: number, aim: number): Figure => ({
      name: `${this.name}, p${share * 100}`,
      value: beyond(share),
      unit: 'ms',
      floor,
      aim,
      most: true,
      absolute: `${median(ours.map((times) => quantile(times, share))).toFixed(1)} ms from end to end`,
    })
    return [figure(0.5, 3, 1.5), figure(0.99, 15, 6)]
  },
}

/** Sends events one after the other at a steady pace. Gives when each was sent, by its call id. */
async function sendSteadily(port: number, count: number): Promise<Map<string, number>> {
  const sentAt = new Map<string, number>()
  const answers: Promise<unknown>[] = []
  const startedAt = performance.now()
  for (let number = 0; number < count; number++) {
    const waitMs = startedAt + (number * 1_000) / PER_SECOND - performance.now()
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs))
    const callId = `latency-${number}`
    const body = bodyOf(callId)
    const headers = headersOf(body)
    sentAt.set(callId, performance.timeOrigin + performance.now())
    answers.push(
      request(`http://127.0.0.1:${port}${PATH}`, { method: 'POST', headers, body }).then((a) => a.body.dump()),
    )
  }
  await Promise.all(answers)
  return sentAt
}
