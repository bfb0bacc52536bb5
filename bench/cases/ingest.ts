import { alternate, type Case, eachOf, type Figure, median, perSecond, ratio, type Settings } from '../measure.ts'
import { type Program, type Surroundings, startProgram, startRelay, WAITING } from '../processes.ts'
import { signedRequests } from '../requests.ts'
import { type Load, loadWarm } from '../wrk.ts'

/** How many events a second are verified, routed, stored and acknowledged, compared with only reading and answering. */
function ingestCase(connections: number, floor: number, aim: number): Case {
  return {
    name: `durable ingest, ${connections} connections`,
    async run({ rounds, seconds }: Settings, around: Surroundings): Promise<Figure[]> {
      const requests = await signedRequests(seconds)
      const loaded = ({ port }: Program, mayRepeat?: true): Promise<Load> =>
        loadWarm({ port, connections, seconds, requests, ...(mayRepeat && { mayRepeat }) })
      const loads = await alternate(
        rounds,
        async () => {
          const relay = await startRelay({ directory: around.fresh(), targets: WAITING })
          const seen = await loaded(relay)
          await relay.end()
          return seen
        },
        async () => {
          const bare = await startProgram('bare')
          const seen = await loaded(bare, true)
          await bare.end()
          return seen
        },
      )
      const p99 = median(loads.ours.map(({ p99 }) => p99)).toFixed(1)
      const reference = `p99 ${p99} ms; bare Fastify`
      const rates = eachOf(loads, (one) => one.perSecond)
      return [ratio(rates, { name: this.name, floor, aim, shown: perSecond, reference })]
    },
  }
}

export const INGEST: readonly Case[] = [ingestCase(64, 0.4, 0.48), ingestCase(256, 0.42, 0.5)]
