import t from 'tap'
import { watchFreezes } from '../src/process-freeze.ts'
import { eventually } from './eventually.ts'

t.test('a freeze of the process is reported with its length, and a busy second is not', async (t) => {
  // A stopwatch by which the second interval takes seven seconds, and the others a little more than one.
  const reads = [0, 1_005, 8_005, 10_500]
  let n = 0
  const frozen: number[] = []
  const end = watchFreezes(
    (ms) => frozen.push(ms),
    () => reads[Math.min(n++, reads.length - 1)]!,
  )
  t.teardown(end)
  await eventually(() => n >= 4, 'three intervals')
  t.same(frozen, [6_000])
})
