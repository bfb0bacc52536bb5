import { openOutbox } from '../claiming.ts'
import { fillOutbox } from '../filled-outbox.ts'
import { alternate, type Case, FEWER_ROUNDS, type Figure, median, perSecond, ratio, type Settings } from '../measure.ts'
import { type Surroundings, startRelay, WAITING } from '../processes.ts'
import { PATH, SECRET, signedRequests } from '../requests.ts'
import { loadWarm } from '../wrk.ts'

const MILLION = 1_000_000
const CLAIMS = 1_000

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
function claimCase(millions: number): Case {
  return {
    name: `claim of 32 with ${millions} M unfinished rows`,
    async run({ rounds, scale }: Settings, around: Surroundings): Promise<Figure[]> {
      const half = (millions * MILLION) / scale / 2
      const [large, small] = [around.fresh(), around.fresh()]
      fillOutbox(large, { pending: { crm: half, gone: half } })
      fillOutbox(small, { pending: { crm: 500, gone: 500 } })
      const sides = await alternate(
        rounds,
        async () => claimMs(large),
        async () => claimMs(small),
      )
      const shown = (ms: number) => `${Math.round(ms * 1_000)} µs`
      return [ratio(sides, { name: this.name, floor: 2, aim: 1.3, most: true, shown, reference: 'with 1,000 rows' })]
    },
  }
}

export const CLAIM: readonly Case[] = [claimCase(1), claimCase(5)]

/** Whether taking in stays fast as history grows. */
export const HISTORY: Case = {
  name: 'ingest with 5 M delivered rows of history',
  async run({ rounds, seconds, scale }: Settings, around: Surroundings): Promise<Figure[]> {
    const requests = await signedRequests(seconds)
    const old = around.fresh()
    fillOutbox(old, { delivered: (5 * MILLION) / scale / 2 })
    let round = 0
    const rate = async (directory: string) => {
      // The same events are new ones where they come from another source.
      const sources = { [`round-${round++}`]: { scheme: 'ultravox', secrets: [SECRET], path: PATH, tolerance: '24h' } }
      const relay = await startRelay({ directory, targets: WAITING, config: { sources } })
      const seen = await loadWarm({ port: relay.port, connections: 64, seconds, requests })
      await relay.end()
      return seen.perSecond
    }
    const sides = await alternate(
      Math.min(rounds, FEWER_ROUNDS),
      () => rate(old),
      () => rate(around.fresh()),
    )
    return [ratio(sides, { name: this.name, floor: 0.85, aim: 0.95, shown: perSecond, reference: 'empty' })]
  },
}

/** How much longer a start takes with much left to do. */
export const START: Case = {
  name: 'start to listening with 1 M unfinished rows',
  async run({ rounds, scale }: Settings, around: Surroundings): Promise<Figure[]> {
    const [large, small] = [around.fresh(), around.fresh()]
    fillOutbox(large, { pending: { crm: MILLION / scale } })
    fillOutbox(small, {})
    const startMs = async (directory: string) => {
      const startedAt = performance.now()
      const relay = await startRelay({ directory, targets: WAITING })
      const took = performance.now() - startedAt
      await relay.end()
      return took
    }
    const { ours, reference } = await alternate(
      Math.min(rounds, FEWER_ROUNDS),
      () => startMs(large),
      () => startMs(small),
    )
    const value = median(ours.map((ms, round) => ms - reference[round]!))
    const absolute = `${Math.round(median(ours))} ms; empty ${Math.round(median(reference))} ms`
    return [{ name: this.name, value, unit: 'ms', floor: 1_000, aim: 300, most: true, absolute }]
  },
}
