import t from 'tap'
import { playSeeds } from '../simulation/many-seeds.ts'

const FIRST = Number(process.env.FIRST_SEED ?? 1)
const SEEDS = Number(process.env.SEEDS ?? 20_000)

t.test('whatever goes wrong, every promise is kept', { timeout: 1_200_000 }, (t) => playSeeds(t, FIRST, SEEDS))
