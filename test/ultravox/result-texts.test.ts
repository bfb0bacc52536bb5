import fc from 'fast-check'
import t from 'tap'
import { resultTexts } from '../../src/ultravox/result-texts.ts'

const textsOf = (page: string) => resultTexts(Buffer.from(page)).map((text) => Buffer.from(text).toString())

t.test('the texts of the results are found as they are written', async (t) => {
  t.same(textsOf('{"next":null,"results":[]}'), [])
  t.same(textsOf(' { "results" : [ {"a" : 1.0} , {"a":12345678901234567890,"a":2}\n] , "total":2 } '), [
    '{"a" : 1.0}',
    '{"a":12345678901234567890,"a":2}',
  ])
})

t.test('only the results at the top count, and of several the last, as for JSON.parse', async (t) => {
  t.same(textsOf('{"x":{"results":[1]},"y":"\\"results\\":[2]","results":[3],"r\\u0065sults":[4,[5]]}'), ['4', '[5]'])
  t.same(textsOf('{"results":"none","results":[1]}'), ['1'])
})

t.test('whatever the page is, there is a text for each result, and it says the same', async (t) => {
  const page = fc.record({ next: fc.jsonValue(), results: fc.array(fc.jsonValue()), total: fc.jsonValue() })
  const indents = fc.constantFrom('', ' ', '\t', '\n')
  fc.assert(
    fc.property(page, indents, (page, indent) => {
      const text = JSON.stringify(page, null, indent)
      const { results } = JSON.parse(text) as { results: unknown[] }
      t.same(
        textsOf(text).map((each) => JSON.parse(each)),
        results,
      )
    }),
  )
})
