import { freePort } from '../../test/local-server.ts'
import { type Case, FEWER_ROUNDS, type Figure, median, type Settings } from '../measure.ts'
import { type Surroundings, startRelay, WAITING } from '../processes.ts'
import { signedRequests } from '../requests.ts'
import { loadWarm } from '../wrk.ts'

/** The metric is the time from one look to the next, and so much of it is meant to pass. */
export const BETWEEN_LOOKS_MS = 10

/**
 * By how much what the event loop has to do is late under full ingest: the relay's own metric, less the time between two looks.
 * Asking for it begins it anew, so it is asked for when the load begins and when it ends.
 */
export const EVENT_LOOP: Case = {
  name: 'event-loop delay p99 under full ingest',
  async run({ rounds, seconds }: Settings, around: Surroundings): Promise<Figure[]> {
    const requests = await signedRequests(seconds)
    const measured: number[] = []
    for (let round = 0; round < Math.min(rounds, FEWER_ROUNDS); round++) {
      const listen = `127.0.0.1:${await freePort()}`
      const relay = await startRelay({ directory: around.fresh(), targets: WAITING, config: { admin: { listen } } })
      const options = { port: relay.port, connections: 64, seconds, requests }
      await loadWarm(options, () => delayMs(listen))
      measured.push(await delayMs(listen))
      await relay.end()
    }
    const value = median(measured) - BETWEEN_LOOKS_MS
    const absolute = `the metric, with the ${BETWEEN_LOOKS_MS} ms between its looks: ${median(measured).toFixed(1)} ms`
    return [{ name: this.name, value, unit: 'ms', floor: 12, aim: 8, most: true, absolute }]
  },
}

export async function delayMs(admin: string): Promise<number> {
  const metrics = await (await fetch(`http://${admin}/metrics`)).text()
  return Number(/^nodejs_eventloop_lag_p99_seconds (\S+)$/m.exec(metrics)![1]) * 1_000
}
