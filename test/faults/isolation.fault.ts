import t, { type Test } from 'tap'
import type { Target } from '../../src/targets/target.ts'
import { measureP99, troubled } from '../delivery/isolation.ts'

const ROUNDS = 7
const MOST = 1.5

/** The p99 of a healthy target beside others, as a multiple of what it is alone: medians of alternating rounds. */
async function ratio(t: Test, choose: (target: Target) => boolean): Promise<number> {
  const alone: number[] = []
  const beside: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    await t.test('alone', async (t) => {
      alone.push(await measureP99(t, []))
    })
    await t.test('beside the others', async (t) => {
      beside.push(await measureP99(t, (await troubled(t)).filter(choose)))
    })
  }
  const [a, b] = [median(alone), median(beside)]
  t.comment(`p99, median of ${ROUNDS} rounds: alone ${a.toFixed(1)} ms, beside the others ${b.toFixed(1)} ms`)
  return b / a
}

t.test(
  'beside a silent, a dripping and an unresolvable target, a healthy one keeps its p99 within a half',
  async (t) => {
    const times = await ratio(t, ({ name }) => name !== 'sleeping')
    t.ok(times <= MOST, `${times.toFixed(2)} times`)
  },
)

t.test(
  'beside a hook that sleeps as well, too',
  { todo: 'starting a hook stops the event loop for some ten milliseconds; it belongs into a thread of its own' },
  async (t) => {
    const times = await ratio(t, () => true)
    t.ok(times <= MOST, `${times.toFixed(2)} times`)
  },
)

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!
}
