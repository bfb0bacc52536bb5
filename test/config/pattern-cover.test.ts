import fc from 'fast-check'
import t from 'tap'
import { patternCovers } from '../../src/config/checks/reach.ts'
import { compileEventPattern } from '../../src/domain/event-pattern.ts'

t.test('a pattern covers what it takes all of', async (t) => {
  t.ok(patternCovers('*', 'call.*'))
  t.ok(patternCovers('call.*', 'call.ended'))
  t.ok(patternCovers('call.*', 'call.b*d'))
  t.notOk(patternCovers('call.*', '*'))
  t.notOk(patternCovers('call.*d', 'call.*'))
  t.notOk(patternCovers('call.ended', 'call.*'))
})

t.test('a pattern that covers another takes every event the other takes', async () => {
  const text = (...characters: string[]) => fc.string({ unit: fc.constantFrom(...characters), maxLength: 5 })
  const pattern = text('a', 'b', '.', '*')
  fc.assert(
    fc.property(pattern, pattern, text('a', 'b', '.'), text('a', 'b', '.'), (first, second, odd, even) => {
      fc.pre(patternCovers(first, second))
      let stars = 0
      const event = second.replace(/\*/g, () => (stars++ % 2 === 0 ? even : odd))
      return compileEventPattern(first)(event)
    }),
    { numRuns: 500 },
  )
})
