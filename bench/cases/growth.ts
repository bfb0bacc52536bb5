import { join } from 'node:path'
import { openOutbox } from '../claiming.ts'
import { fillOutbox } from '../filled-outbox.ts'
import { alternate, type Case, type Figure, median, ratioOf, type Settings } from '../measure.ts'
import { type Surroundings, startRelay } from '../processes.ts'
import { writeRequests } from '../requests.ts'
import { load } from '../wrk.ts'

const MILLION = 1_000_000
const CLAIMS = 200

/** Milliseconds that a claim of 32 takes, in an outbox where a dead target holds half of what is unfinished. */
function claimMs(directory: string): number {
  const outbox = openOutbox(directory)
  const startedAt = performance.now()
  for (let count = 0; count < CLAIMS; count++) {
    outbox.run(outbox.claim().map((delivery) => ({ method: 'release', args: [delivery] })))
  }
  const took = performance.now() - startedAt
  outbox.close()
  return took / CLAIMS
}

/** Whether a claim stays cheap, however many rows there are. */
export const CLAIM: Case = {
  name: 'claim of 32 with 1 M unfinished rows',
  async run({ rounds, scale }: Settings, around: Surroundings): Promise<Figure[]> {
    const half = MILLION / scale / 2
    const [large, small] = [around.fresh(), around.fresh()]
    fillOutbox(large, { pending: { crm: half, gone: half }, tiny: true })
    fillOutbox(small, { pending: { crm: 500, gone: 500 }, tiny: true })
    const { ours, reference } = await alternate(
      rounds,
      async () => claimMs(large),
      async () => claimMs(small),
    )
    return [
      {
        name: this.name,
        value: ratioOf(ours, reference),
        unit: 'ratio',
        floor: 2,
        aim: 1.3,
        most: true,
        absolute: `${(median(ours) * 1_000).toFixed(0)} µs; with 1,000 rows ${(median(reference) * 1_000).toFixed(0)} µs`,
      },
    ]
  },
}

/** Whether taking in stays fast as history grows. */
export const HISTORY: Case = {
  name: 'ingest with 1 M delivered rows of history',
  async run({ rounds, seconds, scale }: Settings, around: Surroundings): Promise<Figure[]> {
    const requests = join(around.directory, 'requests')
    const size = await writeRequests(requests, 20_000 * seconds)
    const paused = { type: 'http', url: 'http://127.0.0.1:9/', paused: true }
    const rate = async (delivered: number) => {
      const directory = around.fresh()
      fillOutbox(directory, { delivered, tiny: true })
      const relay = await startRelay({ directory, targets: { crm: paused, billing: paused } })
      const { perSecond } = await load({ port: relay.port, connections: 64, seconds, requests, size })
      await relay.end()
      return perSecond
    }
    const { ours, reference } = await alternate(
      rounds,
      () => rate(MILLION / scale / 2),
      () => rate(0),
    )
    return [
      {
        name: this.name,
        value: ratioOf(ours, reference),
        unit: 'ratio',
        floor: 0.85,
        aim: 0.95,
        absolute: `${Math.round(median(ours))}/s; empty ${Math.round(median(reference))}/s`,
      },
    ]
  },
}

/** How much longer a start takes with much left to do. */
export const START: Case = {
  name: 'start to listening with 1 M unfinished rows',
  async run({ rounds, scale }: Settings, around: Surroundings): Promise<Figure[]> {
    const [large, small] = [around.fresh(), around.fresh()]
    fillOutbox(large, { pending: { crm: MILLION / scale }, tiny: true })
    fillOutbox(small, {})
    const startMs = async (directory: string) => {
      const startedAt = performance.now()
      const target = { type: 'http', url: 'http://127.0.0.1:9/', paused: true }
      const relay = await startRelay({ directory, targets: { crm: target } })
      const took = performance.now() - startedAt
      await relay.end()
      return took
    }
    const { ours, reference } = await alternate(
      rounds,
      () => startMs(large),
      () => startMs(small),
    )
    return [
      {
        name: this.name,
        value: median(ours.map((ms, round) => ms - reference[round]!)),
        unit: 'ms',
        floor: 1_000,
        aim: 300,
        most: true,
        absolute: `${Math.round(median(ours))} ms; empty ${Math.round(median(reference))} ms`,
      },
    ]
  },
}
