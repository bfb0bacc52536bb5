import t from 'tap'
import { UnmatchedPaths } from '../../src/targets/unmatched-paths.ts'

function counted(paths: string[]) {
  const told: { path: string; count: number; events: readonly string[] }[] = []
  const unmatched = new UnmatchedPaths(paths, (path, count, events) => void told.push({ path, count, events }))
  return { told, unmatched }
}

t.test('a path that leads to nothing in 1,000 events is told once, with the names of these', async (t) => {
  const { told, unmatched } = counted(['call.a', 'call.b', 'call.c'])
  for (let event = 1; event <= 999; event++) unmatched.count('call.started', [false, event === 7, false])
  t.same(told, [])
  unmatched.count('call.ended', [false, false, true])
  const expected = [{ path: 'call.a', count: 1_000, events: ['call.started', 'call.ended'] }]
  t.same(told, expected)
  for (let event = 0; event < 5_000; event++) unmatched.count('call.ended', [false, false, false])
  t.same(told, expected)
})

t.test('a path that only one kind of event has is none of them', async (t) => {
  const { told, unmatched } = counted(['call.shortSummary'])
  for (let event = 1; event <= 5_000; event++) unmatched.count('call.started', [event === 600])
  t.same(told, [])
})
