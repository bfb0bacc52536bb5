import { join } from 'node:path'
import { alternate, type Case, type Figure, median, ratioOf, type Settings } from '../measure.ts'
import { type Surroundings, startProgram, startRelay } from '../processes.ts'
import { writeRequests } from '../requests.ts'
import { type Load, loadWarm, WARM_UP_S } from '../wrk.ts'

/** More than can be sent in a round: a call that is sent twice is a duplicate, which costs less. */
const PER_SECOND = 25_000

/** Two targets that get nothing yet: what is measured is taking in. */
const WAITING = {
  crm: { type: 'http', url: 'http://127.0.0.1:9/crm', paused: true },
  billing: { type: 'http', url: 'http://127.0.0.1:9/billing', paused: true },
}

/** How many events a second are verified, routed, stored and acknowledged, compared with only reading and answering. */
function ingestCase(connections: number, floor: number, aim: number): Case {
  const name = `durable ingest, ${connections} connections`
  return {
    name,
    async run({ rounds, seconds }: Settings, around: Surroundings): Promise<Figure[]> {
      const requests = join(around.directory, 'requests')
      const size = await writeRequests(requests, PER_SECOND * (seconds + WARM_UP_S))
      const loaded = ({ port }: { port: number }): Promise<Load> =>
        loadWarm({ port, connections, seconds, requests, size })
      const { ours, reference } = await alternate(
        rounds,
        async () => {
          const relay = await startRelay({ directory: around.fresh(), targets: WAITING })
          const seen = await loaded(relay)
          await relay.end()
          return seen
        },
        async () => {
          const bare = await startProgram('bare')
          const seen = await loaded(bare)
          await bare.end()
          return seen
        },
      )
      const rates = (of: Load[]) => of.map(({ perSecond }) => perSecond)
      const p99 = median(ours.map(({ p99 }) => p99))
      return [
        {
          name,
          value: ratioOf(rates(ours), rates(reference)),
          unit: 'ratio',
          floor,
          aim,
          absolute: `${Math.round(median(rates(ours)))}/s, p99 ${p99.toFixed(1)} ms; bare Fastify ${Math.round(median(rates(reference)))}/s`,
        },
      ]
    },
  }
}

export const INGEST: readonly Case[] = [ingestCase(64, 0.4, 0.48), ingestCase(256, 0.42, 0.5)]
