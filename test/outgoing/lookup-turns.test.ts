import type { LookupFunction } from 'node:net'
import t from 'tap'
import { inTurns } from '../../src/outgoing/lookup-turns.ts'

/** A system that answers when it is told to, a few questions at a time. */
function trial(atOnce: number) {
  const clock = { now: 0 }
  const asked: string[] = []
  const answers = new Map<string, () => void>()
  const lookup: LookupFunction = (hostname, _options, callback) => {
    asked.push(hostname)
    answers.set(hostname, () => callback(null, '127.0.0.1', 4))
  }
  const turns = inTurns(lookup, atOnce, () => clock.now)
  const answered: string[] = []
  return {
    asked,
    answered,
    ask: (hostname: string) => turns(hostname, {}, () => answered.push(hostname)),
    answer(hostname: string, afterMs = 0) {
      clock.now += afterMs
      answers.get(hostname)!()
    },
  }
}

t.test('a name that was answered promptly never waits for those that are not', async (t) => {
  const { ask, answer, asked, answered } = trial(2)
  ask('good')
  answer('good', 5)
  for (const name of ['silent-1', 'silent-2', 'silent-3']) ask(name)
  t.same(asked, ['good', 'silent-1'], 'one at a time of the others')
  ask('good')
  answer('good')
  t.same(answered, ['good', 'good'])
})

t.test('only the names asked for lately are remembered', async (t) => {
  const { ask, answer, asked } = trial(2)
  for (let i = 0; i < 1_002; i++) {
    for (const name of i < 10 ? [`${i}`] : [`${i}`, 'kept']) {
      ask(name)
      answer(name)
    }
  }
  ask('silent')
  asked.length = 0
  ask('kept')
  ask('0')
  t.same(asked, ['kept'], 'the first is a new name again, which waits for its turn')
})

t.test('new names go before slow ones, and each gets its turn', async (t) => {
  const { ask, answer, asked } = trial(2)
  ask('slow')
  answer('slow', 10_000)
  for (const name of ['slow', 'a', 'slow', 'b', 'c']) ask(name)
  t.same(asked.splice(0), ['slow', 'slow'])
  answer('slow', 10_000)
  answer('a', 5)
  answer('b', 5)
  answer('c', 5)
  t.same(asked, ['a', 'b', 'c', 'slow'])
})

t.test('a name that has become slow waits like the others, and one that is prompt again does not', async (t) => {
  const { ask, answer, asked } = trial(3)
  for (const name of ['a', 'b']) ask(name)
  answer('a')
  answer('b', 2_000)
  ask('b')
  answer('b', 5)
  for (const name of ['x', 'y', 'z', 'b']) ask(name)
  t.same(asked.slice(3), ['x', 'y', 'b'])
})
