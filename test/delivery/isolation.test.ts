import t from 'tap'
import { ALL_TROUBLES, measureP99 } from './isolation.ts'

/** A quarter of the troubled targets' timeout: whoever had to wait for one of them would be far above. */
const FAR_TOO_LONG_MS = 500

t.test('a silent, a dripping, an unresolvable and a sleeping target do not hold up a healthy one', async (t) => {
  const p99 = await measureP99(ALL_TROUBLES)
  t.ok(p99 < FAR_TOO_LONG_MS, `p99 ${p99.toFixed(1)} ms`)
})
