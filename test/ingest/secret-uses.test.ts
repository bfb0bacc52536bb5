import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { createSecretUses } from '../../src/ingest/secret-uses.ts'

t.test('each set of signers is recorded when it is new, and then once a second', async (t) => {
  const written: unknown[] = []
  const used = createSecretUses(async (...use) => void written.push(use))
  used('a', ['one'], 1_000)
  used('a', ['two', 'one'], 1_500)
  used('a', ['one', 'two'], 1_900)
  used('a', ['one'], 1_999)
  used('b', ['one'], 2_000)
  used('a', ['one'], 2_000)
  used('a', [], 9_000)
  t.same(written, [
    ['a', 'one', 1_000],
    ['a', 'one two', 1_500],
    ['b', 'one', 2_000],
    ['a', 'one', 2_000],
  ])
})

t.test('what could not be written is written with the next event', async (t) => {
  let tries = 0
  const used = createSecretUses(async () => {
    tries += 1
    throw new Error('disk full')
  })
  used('a', ['one'], 0)
  await turn()
  used('a', ['one'], 1)
  t.equal(tries, 2)
})
