import { spawnSync } from 'node:child_process'
import { type Case, type Figure, median, NotHere, type Settings } from '../measure.ts'
import { type Surroundings, startRelay, WAITING } from '../processes.ts'
import { signedRequests } from '../requests.ts'
import { loadWarm } from '../wrk.ts'

const DELAY_MS = 5
const SLOWER = [
  'strace',
  '-D',
  '-f',
  '--seccomp-bpf',
  '-qq',
  '-o',
  '/dev/null',
  '-e',
  'trace=fsync,fdatasync',
  '-e',
  `inject=fsync,fdatasync:delay_exit=${DELAY_MS * 1_000}`,
]

/** How long an acknowledgement takes at worst on a disk as clouds have them, in units of what an fsync takes there. */
export const SLOW_DISK: Case = {
  name: 'acknowledgement p99, fsync 5 ms slower',
  async run({ rounds, seconds }: Settings, around: Surroundings): Promise<Figure[]> {
    if (spawnSync('strace', ['-V']).error !== undefined) throw new NotHere('needs the Debian package strace')
    const requests = await signedRequests(seconds)
    const p99s: number[] = []
    const rates: number[] = []
    for (let round = 0; round < rounds; round++) {
      const relay = await startRelay({ directory: around.fresh(), targets: WAITING, under: SLOWER })
      const seen = await loadWarm({ port: relay.port, connections: 64, seconds, requests })
      await relay.end()
      p99s.push(seen.p99)
      rates.push(seen.perSecond)
    }
    const p99 = median(p99s)
    return [
      {
        name: this.name,
        value: p99 / DELAY_MS,
        // No ratio that carries over to another machine: what its own disk takes comes on top.
        unit: 'times',
        floor: 5,
        aim: 4,
        most: true,
        absolute: `p99 ${p99.toFixed(1)} ms at ${Math.round(median(rates))}/s`,
      },
    ]
  },
}
