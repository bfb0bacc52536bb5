import { fillOutbox } from '../filled-outbox.ts'
import { alternate, type Case, type Figure, perSecond, ratio, type Settings } from '../measure.ts'
import { command, type Program, type Surroundings, startProgram, startRelay } from '../processes.ts'
import { bodyOf } from '../requests.ts'
import { sendAll } from '../sending.ts'

const EVENTS = 50_000
const CONNECTIONS = 32

/** How many deliveries a second are made of a backlog, each settled on disk, compared with only sending as many requests. */
export const BACKLOG: Case = {
  name: 'delivering a backlog to one target',
  async run({ rounds, scale }: Settings, around: Surroundings): Promise<Figure[]> {
    const count = EVENTS / Math.min(scale, 5)
    const rateOf = async (sink: Program, send: () => Promise<void>) => {
      await send()
      // From the first to the last: until a relay notices that it may send is another matter.
      const { firstAt, lastAt } = JSON.parse(await sink.ask(String(count))) as { firstAt: number; lastAt: number }
      return count / ((lastAt - firstAt) / 1_000)
    }
    const sides = await alternate(
      rounds,
      async () => {
        const directory = around.fresh()
        const sink = await startProgram('sink')
        const url = `http://127.0.0.1:${sink.port}/crm`
        const targets = { crm: { type: 'http', url, concurrency: CONNECTIONS } }
        fillOutbox(directory, { pending: { crm: count }, bodies: count })
        await command(directory, targets, 'targets', 'pause', 'crm')
        const relay = await startRelay({ directory, targets })
        const rate = await rateOf(sink, () => command(directory, targets, 'targets', 'resume', 'crm'))
        await relay.end()
        await sink.end()
        return rate
      },
      async () => {
        const sink = await startProgram('sink')
        const rate = await rateOf(sink, () =>
          sendAll(`http://127.0.0.1:${sink.port}/crm`, { count, connections: CONNECTIONS, next: () => SENT }),
        )
        await sink.end()
        return rate
      },
    )
    return [ratio(sides, { name: this.name, floor: 0.6, aim: 0.75, shown: perSecond, reference: 'undici alone' })]
  },
}

const SENT = { headers: ['content-type', 'application/json'], body: bodyOf() }
