import t from 'tap'
import { crashCycles } from '../crash/crash-cycles.ts'

const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000)
const CYCLES = Number(process.env.CYCLES ?? 300)

t.test('after three hundred kills nothing that was acknowledged is lost', { timeout: 1_200_000 }, (t) =>
  crashCycles(t, { seed: SEED, cycles: CYCLES }),
)
