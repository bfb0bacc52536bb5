import fc from 'fast-check'
import t from 'tap'
import { compileEventPattern } from '../../src/domain/event-pattern.ts'
import { anyText } from '../any-text.ts'

const CASES: { pattern: string; takes: string[]; leaves: string[] }[] = [
  {
    pattern: 'call.ended',
    takes: ['call.ended'],
    leaves: ['call.ended ', 'call_ended', 'Call.ended', 'call.endedX', ''],
  },
  { pattern: 'call.*', takes: ['call.ended', 'call.', 'call.a.b'], leaves: ['call', 'xcall.ended', 'callXended'] },
  { pattern: '*', takes: ['call.ended', 'anything at all', '', 'two\nlines'], leaves: [] },
  { pattern: '*.ended', takes: ['call.ended', 'a.b.ended', '.ended'], leaves: ['ended', 'call.ended.x'] },
  { pattern: 'call.*.done', takes: ['call.x.done', 'call.x.y.done', 'call..done'], leaves: ['call.done'] },
  { pattern: 'a*b*c', takes: ['abc', 'aXbYc', 'abbcc'], leaves: ['acb', 'ab', 'abcX'] },
  { pattern: '**', takes: ['', 'call.ended'], leaves: [] },
]

for (const { pattern, takes, leaves } of CASES) {
  t.test(`the pattern ${pattern} takes what it should and nothing else`, async (t) => {
    const matches = compileEventPattern(pattern)
    for (const event of takes) t.equal(matches(event), true, `takes ${JSON.stringify(event)}`)
    for (const event of leaves) t.equal(matches(event), false, `leaves ${JSON.stringify(event)}`)
  })
}

t.test('a pattern without a star takes exactly its own text, whatever characters it has', async (t) => {
  fc.assert(
    fc.property(anyText(), anyText(), (pattern, event) => {
      fc.pre(!pattern.includes('*'))
      const matches = compileEventPattern(pattern)
      return matches(pattern) && matches(event) === (event === pattern)
    }),
  )
  t.pass()
})

t.test('a star stands for any text, and all other characters for themselves', async (t) => {
  const text = anyText().filter((text) => !text.includes('*'))
  fc.assert(
    fc.property(text, anyText(), text, (before, middle, after) => {
      const matches = compileEventPattern(`${before}*${after}`)
      return matches(`${before}${middle}${after}`)
    }),
  )
  for (const special of '\\^$.|?+()[]{}-/') {
    t.equal(compileEventPattern(`${special}*`)(`${special}x`), true, special)
    t.equal(compileEventPattern(`${special}*`)('yx'), false, special)
  }
})

t.test("the relay's own events are taken only by patterns that ask for them", async (t) => {
  for (const pattern of ['*', '*.dead', 're*', '**'])
    t.notOk(compileEventPattern(pattern)('relay.delivery.dead'), pattern)
  for (const pattern of ['relay.*', 'relay.delivery.*', 'relay.delivery.dead']) {
    t.ok(compileEventPattern(pattern)('relay.delivery.dead'), pattern)
  }
  for (const pattern of ['relay.*', 'relay.delivery.dead', 'relay.*.dead']) {
    t.notOk(compileEventPattern(pattern)('relay.delivery.dead', false), `${pattern} for an event from outside`)
  }
  t.ok(compileEventPattern('*')('relay.delivery.dead', false), 'which is any event')
  t.ok(compileEventPattern('*')('relayed.call'), 'a name that only looks a little like one is any event')
})

t.test('a pattern means what its regular expression would, and never goes back', async (t) => {
  const few = fc.string({ unit: fc.constantFrom('a', 'b', '*'), maxLength: 8 })
  const name = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 12 })
  fc.assert(
    fc.property(few, name, (pattern, event) => {
      const expected = new RegExp(`^${pattern.replaceAll('*', '.*')}$`).test(event)
      return compileEventPattern(pattern)(event) === expected
    }),
    { numRuns: 2_000 },
  )
  // A regular expression would take longer than there is.
  t.equal(compileEventPattern(`${'*a'.repeat(20)}*b`)('a'.repeat(100_000)), false)
})
