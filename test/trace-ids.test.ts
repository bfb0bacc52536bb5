import t from 'tap'
import { isSampled, parseTraceparent } from '../src/domain/trace-context.ts'
import { newSpanId, newTraceparent } from '../src/trace-ids.ts'

t.test('no two ids are the same, over many fillings of the pool', async (t) => {
  const traceparents = Array.from({ length: 5_000 }, () => newTraceparent(0))
  const read = traceparents.map((each) => parseTraceparent(each)!)
  t.equal(new Set(read.map(({ traceId }) => traceId)).size, 5_000)
  const spans = [...read.map(({ spanId }) => spanId), ...Array.from({ length: 5_000 }, newSpanId)]
  t.equal(new Set(spans).size, 10_000)
  t.ok(spans.every((id) => /^[0-9a-f]{16}$/.test(id)))
})

t.test('so many new traces are sampled as are to be', async (t) => {
  const sampledOf = (share: number) =>
    Array.from({ length: 2_000 }, () => newTraceparent(share)).filter(isSampled).length
  t.equal(sampledOf(0), 0)
  t.equal(sampledOf(1), 2_000)
  const half = sampledOf(0.5)
  // Wrong once in 10^18 runs.
  t.ok(half > 800 && half < 1_200, `${half} of 2000`)
})
