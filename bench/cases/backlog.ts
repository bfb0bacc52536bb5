import { Agent, request } from 'undici'
import { fillOutbox } from '../filled-outbox.ts'
import { alternate, type Case, type Figure, median, ratioOf, type Settings } from '../measure.ts'
import { command, type Program, type Surroundings, startProgram, startRelay } from '../processes.ts'
import { bodyOf } from '../requests.ts'

const EVENTS = 50_000
/** So many are delivered before: see `loadWarm`. */
const WARM_UP = 15_000
const CONNECTIONS = 32

/** How many deliveries a second are made of a backlog, each settled on disk, compared with only sending as many requests. */
export const BACKLOG: Case = {
  name: 'delivering a backlog to one target',
  async run({ rounds, scale }: Settings, around: Surroundings): Promise<Figure[]> {
    const count = EVENTS / Math.min(scale, 5)
    const perSecond = async (sink: Program, send: () => Promise<void>) => {
      const sent = send()
      const cameAt = async (number: number) => (JSON.parse(await sink.ask(String(number))) as { lastAt: number }).lastAt
      const startedAt = await cameAt(WARM_UP)
      const endedAt = await cameAt(WARM_UP + count)
      await sent
      return count / ((endedAt - startedAt) / 1_000)
    }
    const { ours, reference } = await alternate(
      rounds,
      async () => {
        const directory = around.fresh()
        const sink = await startProgram('sink')
        const url = `http://127.0.0.1:${sink.port}/crm`
        const targets = { crm: { type: 'http', url, concurrency: CONNECTIONS } }
        fillOutbox(directory, { pending: { crm: WARM_UP + count } })
        await command(directory, targets, 'targets', 'pause', 'crm')
        const relay = await startRelay({ directory, targets })
        const rate = await perSecond(sink, () => command(directory, targets, 'targets', 'resume', 'crm'))
        await relay.end()
        await sink.end()
        return rate
      },
      async () => {
        const sink = await startProgram('sink')
        const rate = await perSecond(sink, () => sendAll(`http://127.0.0.1:${sink.port}/crm`, WARM_UP + count))
        await sink.end()
        return rate
      },
    )
    return [
      {
        name: this.name,
        value: ratioOf(ours, reference),
        unit: 'ratio',
        floor: 0.6,
        aim: 0.75,
        absolute: `${Math.round(median(ours))}/s; undici alone ${Math.round(median(reference))}/s`,
      },
    ]
  },
}

async function sendAll(url: string, count: number): Promise<void> {
  const dispatcher = new Agent({ connections: CONNECTIONS })
  const body = bodyOf()
  let left = count
  const sender = async () => {
    while (left > 0) {
      left -= 1
      const answer = await request(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
        dispatcher,
      })
      await answer.body.dump()
    }
  }
  await Promise.all(Array.from({ length: CONNECTIONS }, sender))
  await dispatcher.close()
}
