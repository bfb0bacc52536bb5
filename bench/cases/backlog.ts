import { fillOutbox } from '../filled-outbox.ts'
import { alternate, type Case, type Figure, perSecond, ratio, type Settings } from '../measure.ts'
import { command, type Program, type Surroundings, startProgram, startRelay } from '../processes.ts'
import { bodyOf } from '../requests.ts'
import { sendAll } from '../sending.ts'

const EVENTS = 50_000
/** So many are delivered before: see `loadWarm`. */
const WARM_UP = 15_000
const CONNECTIONS = 32

/** How many deliveries a second are made of a backlog, each settled on disk, compared with only sending as many requests. */
export const BACKLOG: Case = {
  name: 'delivering a backlog to one target',
  async run({ rounds, scale }: Settings, around: Surroundings): Promise<Figure[]> {
    const count = EVENTS / Math.min(scale, 5)
    const rateOf = async (sink: Program, send: () => Promise<void>) => {
      const sent = send()
      const cameAt = async (number: number) => (JSON.parse(await sink.ask(String(number))) as { lastAt: number }).lastAt
      const startedAt = await cameAt(WARM_UP)
      const endedAt = await cameAt(WARM_UP + count)
      await sent
      return count / ((endedAt - startedAt) / 1_000)
    }
    const sides = await alternate(
      rounds,
      async () => {
        const directory = around.fresh()
        const sink = await startProgram('sink')
        const url = `http://127.0.0.1:${sink.port}/crm`
        const targets = { crm: { type: 'http', url, concurrency: CONNECTIONS } }
        fillOutbox(directory, { pending: { crm: WARM_UP + count }, bodies: WARM_UP + count })
        await command(directory, targets, 'targets', 'pause', 'crm')
        const relay = await startRelay({ directory, targets })
        const rate = await rateOf(sink, () => command(directory, targets, 'targets', 'resume', 'crm'))
        await relay.end()
        await sink.end()
        return rate
      },
      async () => {
        const sink = await startProgram('sink')
        const all = { count: WARM_UP + count, connections: CONNECTIONS, next: () => SENT }
        const rate = await rateOf(sink, () => sendAll(`http://127.0.0.1:${sink.port}/crm`, all))
        await sink.end()
        return rate
      },
    )
    return [ratio(sides, { name: this.name, floor: 0.6, aim: 0.75, shown: perSecond, reference: 'undici alone' })]
  },
}

const SENT = { headers: ['content-type', 'application/json'], body: bodyOf() }
