import t from 'tap'
import { RejectionWindows } from '../../src/ingest/rejection-limiter.ts'

const PERIOD_MS = 1_000

function windowsAt(start: number) {
  const clock = { at: start }
  const windows = new RejectionWindows(() => clock.at)
  const ask = (method: 'incr' | 'read') => (network: string) => {
    let answer: { current: number; ttl: number } | undefined
    windows[method](network, (_, result) => (answer = result), PERIOD_MS)
    return answer
  }
  return { clock, count: ask('incr'), read: ask('read') }
}

t.test(
  'rejections are counted by network from the first to the end of its period, and reading counts none',
  async (t) => {
    const { clock, count, read } = windowsAt(5_000)
    t.same(read('a'), { current: 0, ttl: 0 })
    t.same(count('a'), { current: 1, ttl: 1_000 })
    t.same(read('a'), { current: 1, ttl: 1_000 })
    clock.at += 999
    t.same(count('a'), { current: 2, ttl: 1 })
    t.same(read('b'), { current: 0, ttl: 0 }, 'another one')
    clock.at += 1
    t.same(read('a'), { current: 0, ttl: 0 })
    t.same(count('a'), { current: 1, ttl: 1_000 })
  },
)

t.test('what is kept of networks is bounded, and the newest of them stay counted', async (t) => {
  const { count, read } = windowsAt(0)
  for (let n = 0; n < 60_000; n += 1) count(String(n))
  t.equal(read('59999')?.current, 1)
  t.equal(read('10000')?.current, 1)
  t.equal(read('9999')?.current, 0, 'forgotten')
})
