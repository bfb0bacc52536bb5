import t from 'tap'
import { lately } from '../../src/admin/lately.ts'
import { obstacles } from '../../src/admin/readiness.ts'

const well = { isStopping: () => false, write: async () => {}, lackOfSpace: (): string | null => null }
const checks = async (given: Partial<typeof well>) =>
  (await obstacles({ ...well, ...given })).map(({ check, message }) => `${check}: ${message}`)

t.test('a relay that can store and is not stopping is ready', async (t) => {
  t.same(await checks({}), [])
})

t.test('all that stands in the way is said at once', async (t) => {
  const full = () => Promise.reject(new Error('outbox: SQLITE_FULL'))
  t.same(await checks({ isStopping: () => true, write: full, lackOfSpace: () => 'no room' }), [
    'stopping: the relay is being stopped',
    'outbox: outbox: SQLITE_FULL',
    'disk: no room',
  ])
})

t.test('an outbox that does not answer is no reason not to answer', async (t) => {
  t.match(await checks({ write: () => new Promise<void>(() => {}) }), [/^outbox: nothing was written within 2000 ms$/])
})

t.test('what costs something is looked at once in a while, for all who ask', async (t) => {
  let now = 0
  let looks = 0
  const look = lately(
    async () => {
      looks += 1
      return looks
    },
    1_000,
    () => now,
  )
  t.same(await Promise.all([look(), look()]), [1, 1])
  now = 999
  t.equal(await look(), 1)
  now = 1_000
  t.equal(await look(), 2)
})
