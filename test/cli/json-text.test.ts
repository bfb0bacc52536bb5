import fc from 'fast-check'
import t from 'tap'
import { indentedJson } from '../../src/cli/json-text.ts'

t.test('any JSON is indented as JSON.stringify would, whatever its own white space', async (t) => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom(undefined, 1, '\t'), (value, space) => {
      const text = JSON.stringify(value, null, space)
      return indentedJson(text) === JSON.stringify(JSON.parse(text), null, 2)
    }),
  )
  t.pass()
})

t.test('nothing but the white space is changed', async (t) => {
  t.equal(
    indentedJson('{"n":12345678901234567890,"n":1.0e5,"s":"\\u0041, {\\"x\\": []}"}'),
    '{\n  "n": 12345678901234567890,\n  "n": 1.0e5,\n  "s": "\\u0041, {\\"x\\": []}"\n}',
  )
})

t.test('what is no JSON is told', async (t) => {
  for (const text of ['', '{', 'event', '{"a":1}}', "{'a':1}"]) t.equal(indentedJson(text), null, text)
})

t.test('what is nested without end is left as it is, for its indentation would fill the memory', async (t) => {
  t.equal(indentedJson(`${'['.repeat(100_000)}${']'.repeat(100_000)}`), null)
  t.type(indentedJson(`${'['.repeat(200)}${']'.repeat(200)}`), 'string')
})
