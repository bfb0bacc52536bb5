import t from 'tap'
import { type Upload, UploadBudget } from '../../src/ingest/upload-budget.ts'

const KB = 1024
const MB = 1024 * KB

/** Budgeted uploads on a clock that the test moves; who was evicted, by name. */
function budgeted(bodyLimitBytes = 5 * MB) {
  const clock = { at: 0 }
  const budget = new UploadBudget(() => clock.at)
  budget.fit(bodyLimitBytes)
  const evicted: string[] = []
  const begin = (name: string, network: string, trusted = false): Upload =>
    budget.begin(network, trusted, () => evicted.push(name))
  /** Has an upload receive so much. */
  const receive = (name: string, network: string, bytes: number, trusted = false): Upload => {
    const upload = begin(name, network, trusted)
    upload.charge(bytes, bytes)
    return upload
  }
  return { clock, evicted, begin, receive }
}

t.test('what is only announced is not charged', async (t) => {
  const { begin, receive, evicted } = budgeted()
  for (let n = 0; n < 10_000; n += 1) begin(`idle ${n}`, 'attacker')
  receive('genuine', 'sender', 5 * MB)
  t.same(evicted, [])
})

t.test('a network over its share has its own slowest upload evicted, and no other network one', async (t) => {
  const { clock, receive, evicted } = budgeted()
  receive('genuine', 'sender', 5 * MB)
  for (let n = 0; n < 6; n += 1) {
    receive(`attack ${n}`, 'attacker', 5 * MB)
    clock.at += 100
  }
  t.same(evicted, [])
  receive('attack 6', 'attacker', 5 * MB)
  receive('attack 7', 'attacker', 5 * MB)
  t.same(evicted, ['attack 0', 'attack 1'])
})

t.test('what goes on at speed outlasts what has stalled, also where that was quick to begin with', async (t) => {
  const { clock, receive, begin, evicted } = budgeted()
  receive('stalled', 'a', 5 * MB)
  for (let n = 0; n < 23; n += 1) receive(`other ${n}`, `b${n}`, 5 * MB)
  const steady = begin('steady', 'c')
  for (let n = 0; n < 50; n += 1) {
    clock.at += 100
    steady.charge(100 * KB, 100 * KB)
  }
  receive('new', 'd', 5 * MB)
  t.same(evicted, ['stalled'])
})

t.test('where all networks are at the total, the one that holds the most makes room', async (t) => {
  const { clock, receive, evicted } = budgeted()
  for (let n = 0; n < 20; n += 1) receive(`small ${n}`, `n${n}`, 5 * MB)
  receive('heavy 1', 'heavy', 5 * MB)
  clock.at += 10
  receive('heavy 2', 'heavy', 5 * MB)
  for (let n = 0; n < 4; n += 1) receive(`late ${n}`, `l${n}`, 5 * MB)
  t.same(evicted, ['heavy 1'])
})

t.test('small bodies are not affected by large ones, nor large ones by small ones', async (t) => {
  const { receive, evicted } = budgeted()
  for (let n = 0; n < 256; n += 1) receive(`large ${n}`, `a${n % 8}`, 512 * KB)
  t.same(evicted, [])
  for (let n = 0; n < 1_000; n += 1) receive(`small ${n}`, `b${n % 250}`, 64 * KB)
  t.same(evicted, [])
  for (let n = 0; n < 100; n += 1) receive(`more ${n}`, 'c', 64 * KB)
  t.ok(evicted.length > 0)
  t.ok(evicted.every((name) => !name.startsWith('large')))
})

t.test('trusted peers have a larger bound, and strangers cannot use it up', async (t) => {
  const { receive, evicted } = budgeted()
  for (let n = 0; n < 19; n += 1) receive(`trusted ${n}`, 'sender', 5 * MB, true)
  for (let n = 0; n < 100; n += 1) receive(`stranger ${n}`, `n${n}`, 5 * MB)
  t.equal(evicted.filter((name) => name.startsWith('trusted')).length, 0)
  evicted.length = 0
  for (let n = 0; n < 200; n += 1) receive(`more ${n}`, 'sender', 5 * MB, true)
  t.equal(evicted.length, 200, 'and it is a bound')
})

t.test('one upload as large as is allowed is never in its own way', async (t) => {
  for (const limit of [5 * MB, 100 * MB]) {
    for (const trusted of [false, true]) {
      const { receive, evicted } = budgeted(limit)
      for (let n = 0; n < 3; n += 1) receive(`upload ${n}`, 'sender', limit + 64 * KB, trusted).end()
      t.same(evicted, [])
    }
  }
})

t.test('what has ended holds nothing', async (t) => {
  const { receive, evicted } = budgeted()
  for (let n = 0; n < 1_000; n += 1) receive(`upload ${n}`, 'sender', 5 * MB).end()
  t.same(evicted, [])
})

t.test(
  'among networks that hold about the same, stalled uploads make room for one that goes on, though it holds most',
  async (t) => {
    const { clock, receive, begin, evicted } = budgeted()
    for (let n = 0; n < 31; n += 1) receive(`stalled ${n}`, `n${n}`, 4 * MB)
    clock.at += 5_000
    const genuine = begin('genuine', 'sender')
    for (let n = 0; n < 5; n += 1) {
      clock.at += 100
      genuine.charge(MB, MB)
    }
    t.same(evicted, ['stalled 0'])
  },
)
