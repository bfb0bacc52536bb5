import t, { type Test } from 'tap'
import { ALL_TROUBLES, measureP99, type Trouble } from '../delivery/isolation.ts'

const ROUNDS = 7
const MOST = 1.5

/** The p99 of a healthy target beside these, as a multiple of what it is alone: medians of alternating rounds. */
async function ratio(t: Test, troubles: readonly Trouble[]): Promise<number> {
  const alone: number[] = []
  const beside: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    alone.push(await measureP99([]))
    beside.push(await measureP99(troubles))
  }
  const [a, b] = [median(alone), median(beside)]
  t.comment(`p99, median of ${ROUNDS} rounds: alone ${a.toFixed(1)} ms, beside the others ${b.toFixed(1)} ms`)
  return b / a
}

t.test('beside a silent, a dripping, an unresolvable and a sleeping target, a healthy one keeps its p99', async (t) => {
  const times = await ratio(t, ALL_TROUBLES)
  t.ok(times <= MOST, `${times.toFixed(2)} times`)
})

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!
}
