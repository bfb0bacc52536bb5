import t from 'tap'
import { crashCycles } from '../crash/crash-cycles.ts'
import { killFirstStarts } from '../crash/first-starts.ts'

const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000)
const CYCLES = Number(process.env.CYCLES ?? 300)
const FIRST_STARTS = Number(process.env.FIRST_STARTS ?? 20)

t.test('after three hundred kills nothing that was acknowledged is lost', { timeout: 1_200_000 }, (t) =>
  crashCycles(t, { seed: SEED, cycles: CYCLES }),
)

t.test('a relay that is killed while it makes its outbox makes it at the next start', { timeout: 600_000 }, (t) =>
  killFirstStarts(t, SEED, FIRST_STARTS),
)
