import t from 'tap'
import { crashCycles } from './crash-cycles.ts'

const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000)
const CYCLES = Number(process.env.CYCLES ?? 3)

t.test('after kill -9 at any moment, every acknowledged event is stored and delivered at least once', (t) =>
  crashCycles(t, { seed: SEED, cycles: CYCLES }),
)
