import t from 'tap'
import { compileCondition, compileTemplate, ExpressionError } from '../../src/domain/expression.ts'

const payload = {
  event: 'call.ended',
  call: {
    callId: 'c-1',
    n: 3,
    zero: 0,
    no: false,
    nothing: null,
    list: [1, 'two'],
    map: { a: { b: 1 } },
    text: '<a & b>',
  },
}
const fill = (text: string, escapeValue?: (value: string) => string) => compileTemplate(text, escapeValue)(payload)

function offsetOf(compile: () => unknown): number | string {
  try {
    compile()
    return 'no error'
  } catch (error) {
    return error instanceof ExpressionError ? error.offset : String(error)
  }
}

t.test('a condition is JSONata over the payload', async (t) => {
  t.equal(await compileCondition("call.callId = 'c-1' and call.n > 2")(payload), true)
  t.equal(await compileCondition('call.n > 3')(payload), false)
})

t.test('a condition casts as $boolean does, and nothing is false', async (t) => {
  const values = { 'call.zero': false, 'call.no': false, 'call.nothing': false, 'call.map': true, 'call.absent': false }
  for (const [text, value] of Object.entries(values)) t.equal(await compileCondition(text)(payload), value, text)
})

t.test('a condition may end in a comment, hold variables in a block, and span lines', async (t) => {
  t.equal(await compileCondition('call.n = 3 /* three */')(payload), true)
  t.equal(await compileCondition('($n := call.n; $n = 3)')(payload), true)
  t.equal(await compileCondition('call.n\n  = 3\n')(payload), true)
})

t.test('a condition that only makes sense inside the relay’s own wrapping is refused', async (t) => {
  for (const text of ['true) or (false', 'false; true', 'true))', ')) /* ', '']) {
    t.throws(() => compileCondition(text), ExpressionError, JSON.stringify(text))
  }
})

t.test('a condition rejects where the payload makes it fail', async (t) => {
  await t.rejects(compileCondition('call.callId > 1')(payload))
  await t.rejects(compileCondition('$error("no")')(payload), { message: 'no' })
})

t.test('a condition cannot change the payload, nor the next evaluation', async (t) => {
  const condition = compileCondition('$count(call.list ~> $append(4)) = 3')
  const before = structuredClone(payload)
  t.equal(await condition(payload), true)
  t.equal(await condition(payload), true)
  t.same(payload, before)
})

t.test('an error in a condition tells how far in it is', async (t) => {
  t.equal(
    offsetOf(() => compileCondition('a b')),
    2,
  )
  t.equal(
    offsetOf(() => compileCondition('call.n = 1)')),
    10,
  )
  t.equal(
    offsetOf(() => compileCondition('')),
    0,
  )
})

t.test('a template fills in values and leaves the rest of the text alone', async (t) => {
  t.equal(await fill('Call {{call.callId}} had {{ call.n }} turns.'), 'Call c-1 had 3 turns.')
  t.equal(await fill('no expression'), 'no expression')
  t.equal(await fill(''), '')
  t.equal(await fill('{{call.n}}{{call.n}}'), '33')
  t.equal(await fill('a } b }} c { d'), 'a } b }} c { d')
})

t.test('a missing value and null become nothing, while 0 and false are shown', async (t) => {
  const text = '[{{call.absent}}|{{call.nothing}}|{{call.zero}}|{{call.no}}|{{nothing.at.all}}]'
  t.equal(await fill(text), '[||0|false|]')
})

t.test('objects and arrays become JSON', async (t) => {
  t.equal(await fill('{{call.map}} {{call.list}} {{[]}}'), '{"a":{"b":1}} [1,"two"] []')
})

t.test('an expression may itself hold two closing braces', async (t) => {
  t.equal(await fill('<{{ {"x":{"y":call.n}} }}>'), '<{"x":{"y":3}}>')
  t.equal(await fill('<{{ {"x":{"y":call.n}}.x.y }}> {{call.n}}'), '<3> 3')
  t.equal(await fill("<{{ 'a }} b' }}>"), '<a }} b>')
  t.equal(await fill('<{{ "{{" }}>'), '<{{>')
})

t.test('only what comes out of an expression is escaped', async (t) => {
  const escapeMarks = (value: string) => value.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
  t.equal(await fill('<b> & {{call.text}} {{call.list}}', escapeMarks), '<b> & &lt;a &amp; b> [1,"two"]')
})

t.test('a value is escaped once and never read as a template again', async (t) => {
  const nested = compileTemplate('{{call.x}}', (value) => `(${value})`)
  t.equal(await nested({ call: { x: '{{call.y}} $& $1', y: 'never' } }), '({{call.y}} $& $1)')
})

t.test('an expression that gives a function becomes nothing or JSON, never a crash in the escaping', async (t) => {
  t.equal(await fill('<{{ /a/ }}>', (value) => value.toUpperCase()), '<>')
})

t.test('a template rejects where the payload makes an expression fail', async (t) => {
  await t.rejects(fill('a {{ call.callId - 1 }} b'))
})

t.test('an error in a template tells how far in it is, counted from the start of the text', async (t) => {
  t.equal(
    offsetOf(() => compileTemplate('0123 {{ a b }} x')),
    10,
  )
  t.equal(
    offsetOf(() => compileTemplate('{{ a }}{{ b c }}')),
    12,
  )
  t.equal(
    offsetOf(() => compileTemplate('01 {{}}')),
    5,
  )
})

t.test('braces that are never closed are told where they open', async (t) => {
  t.equal(
    offsetOf(() => compileTemplate('{{')),
    0,
  )
  t.equal(
    offsetOf(() => compileTemplate('0123 {{ call.n } ')),
    5,
  )
  t.equal(
    offsetOf(() => compileTemplate('{{ call.n }} {{ call.n')),
    13,
  )
})

t.test('the first wrong expression is told, not what a later closing would make of it', async (t) => {
  t.equal(
    offsetOf(() => compileTemplate('{{ a b }} {{ call.n }}')),
    5,
  )
})

t.test('a failure is put into words whatever value it is about', async (t) => {
  const deep = JSON.parse(`${'['.repeat(100_000)}${']'.repeat(100_000)}`)
  for (const [text, payload] of [
    ['call + 1', { call: deep }],
    ['function($x){$x} + 1', {}],
  ] as const) {
    const error = await compileCondition(text)(payload).then(
      () => null,
      (error) => error,
    )
    t.match(error.message, /^".+" fails: .*\w/, text)
  }
})
