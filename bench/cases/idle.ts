import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Case, Figure, Settings } from '../measure.ts'
import { type Surroundings, startProgram, startRelay } from '../processes.ts'
import { bodyOf, headersOf, PATH } from '../requests.ts'
import { sendAll } from '../sending.ts'

const EVENTS = 100_000
/** So often the relay takes over what is left in the outbox's log: once more, that is still of the load. */
const LOG_EVERY_MS = 60_000
/** So long after it had something to do, Node has collected what was left of that. */
const COLLECTED_MS = 45_000
const SETTLING_MS = 5_000
const WATCHED_S = 20
/** Clock ticks a second, as Linux counts them for processes. */
const TICKS = 100

/** What a relay takes that has had much to do and has nothing to do any more. */
export const IDLE: Case = {
  name: 'idle',
  async run({ scale }: Settings, around: Surroundings): Promise<Figure[]> {
    const count = EVENTS / scale
    const sink = await startProgram('sink')
    around.later(() => sink.end())
    const targets = { crm: { type: 'http', url: `http://127.0.0.1:${sink.port}/` } }
    const relay = await startRelay({ directory: around.fresh(), targets })
    const startedAt = performance.now()
    around.later(() => relay.end())
    const next = () => {
      const body = bodyOf()
      return { headers: headersOf(body), body }
    }
    await sendAll(`http://127.0.0.1:${relay.port}${PATH}`, { count, connections: 64, next })
    await sink.ask(String(count))
    const untilLogMs = LOG_EVERY_MS - ((performance.now() - startedAt) % LOG_EVERY_MS) + SETTLING_MS
    await sleep(Math.max(untilLogMs, COLLECTED_MS))
    const before = used(relay.pid)
    await sleep(WATCHED_S * 1_000)
    const after = used(relay.pid)
    const cpu = ((after.ticks - before.ticks) / TICKS / WATCHED_S) * 100
    const figure = (name: string, value: number, unit: Figure['unit'], floor: number, aim: number): Figure => ({
      name: `idle: ${name}`,
      value,
      unit,
      floor,
      aim,
      most: true,
      absolute: `over ${WATCHED_S} s, after ${count} events`,
    })
    return [
      figure('CPU', cpu, '%', 0.5, 0.2),
      figure('written to disk', (after.written - before.written) / 1e6, 'MB', 0, 0),
      figure('memory (RSS)', after.rssMb, 'MB', 150, 110),
    ]
  },
}

function used(pid: number): { readonly ticks: number; readonly written: number; readonly rssMb: number } {
  // The name, in parentheses, may hold blanks; nothing after it does.
  const [, rest] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')
  const fields = rest!.split(' ')
  const number = (file: string, name: string) => {
    const [, value] = new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(readFileSync(`/proc/${pid}/${file}`, 'utf8'))!
    return Number(value)
  }
  return {
    ticks: Number(fields[11]) + Number(fields[12]),
    written: number('io', 'write_bytes'),
    rssMb: number('status', 'VmRSS') / 1_024,
  }
}
