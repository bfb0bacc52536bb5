import t from 'tap'
import { FreezeWatch } from '../src/process-freeze.ts'
import { eventually } from './eventually.ts'

t.test('a freeze of the process is reported with its length, and a busy second is not', async (t) => {
  let now = 0
  let reads = 0
  const frozen: number[] = []
  const watch = new FreezeWatch(
    (ms) => frozen.push(ms),
    () => {
      reads += 1
      return now
    },
  )
  watch.read()
  now += 60_000
  watch.read()
  t.same(frozen, [], 'it is not watched yet')
  watch.start()
  t.teardown(() => watch.end())
  now += 2_500
  const before = reads
  await eventually(() => reads > before, 'the timer')
  t.same(frozen, [], 'busy')
  now += 7_000
  watch.read()
  t.same(frozen, [6_000], 'the first read of the time finds it')
  watch.read()
  const again = reads
  await eventually(() => reads > again, 'the timer')
  t.same(frozen, [6_000], 'and it is reported once')
  now += 7_000
  await eventually(() => frozen.length > 1, 'the timer finds it as well')
})
