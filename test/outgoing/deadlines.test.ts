import t from 'tap'
import { createDeadlines } from '../../src/outgoing/deadlines.ts'

const armed = () => process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length

t.test('deadlines fall due in the order they were started', async (t) => {
  const before = armed()
  const { start } = createDeadlines(20)
  const seen: number[] = []
  await new Promise<void>((resolve) => {
    start(() => seen.push(1))
    start(() => seen.push(2))
    setTimeout(() => start(() => resolve()), 10)
  })
  t.same(seen, [1, 2])
  t.equal(armed(), before, 'no timer is left')
})

t.test('a cancelled deadline never fires and leaves no timer behind', async (t) => {
  const before = armed()
  const { start } = createDeadlines(30)
  const cancel = start(() => t.fail('was cancelled'))
  t.equal(armed(), before + 1)
  cancel()
  t.equal(armed(), before)
  await new Promise<void>((resolve) => start(resolve))
})

t.test('any number of deadlines take one timer', async (t) => {
  const before = armed()
  const { start } = createDeadlines(10_000)
  const cancels = Array.from({ length: 100 }, () => start(() => t.fail('is not due')))
  t.equal(armed(), before + 1)
  for (const cancel of cancels.slice(1)) cancel()
  t.equal(armed(), before + 1)
  cancels[0]?.()
  t.equal(armed(), before)
})

t.test('deadlines started and cancelled from within one that expires are kept track of', async (t) => {
  const before = armed()
  const { start } = createDeadlines(15)
  await new Promise<void>((resolve) => {
    const cancelSelf = start(() => {
      cancelSelf()
      cancelOther()
      start(() => t.fail('is cancelled at once'))()
      start(resolve)
    })
    const cancelOther = start(() => t.fail('was cancelled'))
  })
  t.equal(armed(), before)
})
