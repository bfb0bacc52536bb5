import { freePort } from '../../test/local-server.ts'
import {
  alternate,
  type Case,
  eachOf,
  FEWER_ROUNDS,
  type Figure,
  median,
  perSecond,
  ratio,
  type Settings,
} from '../measure.ts'
import { type Surroundings, startRelay, WAITING } from '../processes.ts'
import { signedRequests } from '../requests.ts'
import { loadWarm } from '../wrk.ts'
import { BETWEEN_LOOKS_MS, delayMs } from './event-loop.ts'

/** Evaluated on the main thread. */
const CHEAP = "call.endReason = 'hangup' and $contains(call.summary, 'x')"
/** The same, by a pattern that is evaluated in the process for expressions. */
const ELSEWHERE = "call.endReason = 'hangup' and $contains(call.summary, /x+/)"
/** Takes all the time that it is given. */
const ENDLESS = '$contains(call.summary, /(x+x+)+y/)'

const CONNECTIONS = 64

function ingestCase(name: string, when: string, floor: number, aim: number): Case {
  return {
    name,
    async run({ rounds, seconds }: Settings, around: Surroundings): Promise<Figure[]> {
      const requests = await signedRequests(seconds)
      const loaded = async (condition: string | null) => {
        const routes = [{ events: ['*'], to: Object.keys(WAITING), ...(condition !== null && { when: condition }) }]
        const relay = await startRelay({ directory: around.fresh(), targets: WAITING, config: { routes } })
        const seen = await loadWarm({ port: relay.port, connections: CONNECTIONS, seconds, requests })
        await relay.end()
        return seen
      }
      const few = Math.min(rounds, FEWER_ROUNDS)
      const loads = await alternate(
        few,
        () => loaded(when),
        () => loaded(null),
      )
      const rates = eachOf(loads, (one) => one.perSecond)
      return [ratio(rates, { name, floor, aim, shown: perSecond, reference: 'without a condition' })]
    },
  }
}

/** The event loop must not notice an expression that never ends. */
const DELAY: Case = {
  name: 'event-loop delay p99 with a condition that never ends',
  async run({ rounds, seconds }: Settings, around: Surroundings): Promise<Figure[]> {
    const requests = await signedRequests(seconds)
    const measured: number[] = []
    for (let round = 0; round < Math.min(rounds, FEWER_ROUNDS); round++) {
      const listen = `127.0.0.1:${await freePort()}`
      const routes = [{ events: ['*'], when: ENDLESS, to: Object.keys(WAITING) }]
      const config = { admin: { listen }, routes }
      const relay = await startRelay({ directory: around.fresh(), targets: WAITING, config })
      const options = { port: relay.port, connections: CONNECTIONS, seconds, requests }
      await loadWarm(options, () => delayMs(listen))
      measured.push(await delayMs(listen))
      await relay.end()
    }
    const value = median(measured) - BETWEEN_LOOKS_MS
    const absolute = `the metric: ${median(measured).toFixed(1)} ms`
    return [{ name: this.name, value, unit: 'ms', floor: 20, aim: 10, most: true, absolute }]
  },
}

export const EXPRESSIONS: readonly Case[] = [
  ingestCase('durable ingest with a cheap condition', CHEAP, 0.8, 0.9),
  ingestCase('durable ingest with a condition evaluated elsewhere', ELSEWHERE, 0.4, 0.6),
  DELAY,
]
