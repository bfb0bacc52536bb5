import t from 'tap'
import { measureP99, troubled } from '../delivery/isolation.ts'

const ROUNDS = 7
const MOST = 1.5
/** What the timers and the scheduler of a busy machine may add to anything, in milliseconds. */
const NOISE_MS = 5

t.test('beside four troubled targets, a healthy one keeps the p99 it has alone, within a half', async (t) => {
  const alone: number[] = []
  const beside: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    await t.test('alone', async (t) => {
      alone.push(await measureP99(t, []))
    })
    await t.test('beside the others', async (t) => {
      beside.push(await measureP99(t, await troubled(t)))
    })
  }
  const [a, b] = [median(alone), median(beside)]
  t.comment(`p99, median of ${ROUNDS} rounds: alone ${a.toFixed(1)} ms, beside the others ${b.toFixed(1)} ms`)
  t.ok(b <= MOST * a + NOISE_MS, `${(b / a).toFixed(2)} times`)
})

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!
}
