import fc from 'fast-check'
import t from 'tap'
import { parseFieldPath } from '../../src/domain/field-path.ts'
import { createRedaction } from '../../src/domain/redaction.ts'
import { anyText } from '../any-text.ts'

const redact = (json: string, ...paths: string[]) =>
  Buffer.from(createRedaction(paths.map(parseFieldPath))(Buffer.from(json)).json).toString()

t.test('a field is cut with its comma, and every other byte stays', async (t) => {
  t.equal(redact('{"a" : 1 , "b":2,\n"c": 3}', 'b'), '{"a" : 1,\n"c": 3}')
  t.equal(redact('{ "a":1, "b":2 }', 'a'), '{ "b":2 }')
  t.equal(redact('{ "a":1, "b":2 }', 'b'), '{ "a":1 }')
  t.equal(redact('{ "a":1, "b":2, "c":3 }', 'a', 'b'), '{ "c":3 }')
  t.equal(redact('{ "a":1, "b":2, "c":3 }', 'b', 'c'), '{ "a":1 }')
  t.equal(redact('{ "a":1, "b":2 }', 'a', 'b'), '{  }')
})

t.test('fields are found inside of others, and * is any key or index', async (t) => {
  const call = '{"event":"x","call":{"joinUrl":"wss://x","n":1,"messages":[{"text":"hi","role":"u"},{"text":"yo"}]}}'
  t.equal(
    redact(call, 'call.joinUrl', 'call.messages.*.text'),
    '{"event":"x","call":{"n":1,"messages":[{"role":"u"},{}]}}',
  )
  t.equal(redact(call, 'call.messages.0'), call.replace('{"text":"hi","role":"u"},', ''))
  t.equal(redact(call, 'call.*'), '{"event":"x","call":{}}')
  t.equal(redact(call, '*'), '{}')
})

t.test('keys with dots are found by a plain path, and any key by one in quotes', async (t) => {
  const payload = (metadata: object) => JSON.stringify({ event: 'x', call: { metadata } })
  const sip = payload({ 'ultravox.sip.caller_id': '+49 30 1', 'ultravox.sip.callee_id': 2 })
  const left = payload({ 'ultravox.sip.callee_id': 2 })
  t.equal(redact(sip, 'call.metadata.ultravox.sip.caller_id'), left)
  t.equal(redact(sip, 'call.metadata."ultravox.sip.caller_id"'), left)
  t.equal(redact(sip, 'call.metadata.`ultravox.sip.caller_id`'), left)
  t.equal(redact(sip, 'call.metadata.ultravox.*.caller_id'), sip, '* is a whole key')
  const nested = payload({ ultravox: { sip: { caller_id: 1 } }, 'ultravox.sip': { caller_id: 2, x: 3 } })
  t.equal(
    redact(nested, 'call.metadata.ultravox.sip.caller_id'),
    payload({ ultravox: { sip: {} }, 'ultravox.sip': { x: 3 } }),
  )
  t.equal(
    redact(nested, 'call.metadata."ultravox.sip".caller_id'),
    payload({ ultravox: { sip: { caller_id: 1 } }, 'ultravox.sip': { x: 3 } }),
  )
  const odd = { 'a b': 1, '"': 2, '`': 3, '': 4, '*': 5, ' ': 6, ü: 7, 'x\ny': 8 }
  const paths = ['"a b"', '`"`', '"`"', '""', '"*"', '`\u0020`'.replace('\\u0020', ' '), 'ü', '"x\\ny"']
  t.equal(redact(payload(odd), ...paths.map((key) => `call.metadata.${key}`)), payload({}))
  t.equal(
    redact(payload(odd), 'call.metadata."*"'),
    payload(Object.fromEntries(Object.entries(odd).filter(([key]) => key !== '*'))),
  )
  t.equal(redact('{"a.b":1,"call.metadata":{"x":1}}', 'a.b', 'call.metadata.x'), '{"call.metadata":{}}')
})

t.test('it says which of the paths have led to something', async (t) => {
  const { matched } = createRedaction(['a.b', 'a.c', '"a.b"', 'l.*.x'].map(parseFieldPath))(
    Buffer.from('{"a":{"b":1},"l":[1,{"x":2}]}'),
  )
  t.same(matched, [true, false, false, true])
})

t.test('where there is nothing to take out the body is the very same one', async (t) => {
  const body = Buffer.from('{"event":"x", "call" : {"n":1} }')
  t.equal(createRedaction([parseFieldPath('call.joinUrl'), parseFieldPath('event.x')])(body).json, body)
})

t.test('integers beyond 2^53, odd numbers and duplicate keys stay as they were', async (t) => {
  const json = '{"id":12345678901234567890,"n":[1.0,1e2,-0],"k":1,"secret":true,"k":2}'
  t.equal(redact(json, 'secret'), json.replace('"secret":true,', ''))
})

t.test('of duplicate keys all are cut, however their letters are written', async (t) => {
  t.equal(redact('{"secret":1,"a":2,"s\\u0065cret":3,"secret":{"x":4}}', 'secret'), '{"a":2}')
})

t.test('brackets, quotes and commas in strings are no structure', async (t) => {
  t.equal(redact('{"a":"}\\",\\\\","secret":"{[\\"","b":"\\\\"}', 'secret'), '{"a":"}\\",\\\\","b":"\\\\"}')
})

t.test('bytes that are no UTF-8 stay, and hide nothing', async (t) => {
  const bytes = (text: string) => Buffer.from(text, 'latin1')
  const body = bytes('{"a":"\xff","secret":"\xe2\x82","b":"\xc0"}')
  t.same(createRedaction([['secret']])(body).json, bytes('{"a":"\xff","b":"\xc0"}'))
})

t.test('a view into a larger buffer is read where it is', async (t) => {
  const view = new Uint8Array(Buffer.from('xx{"a":1,"secret":2}yy')).subarray(2, 20)
  t.equal(Buffer.from(createRedaction([['secret']])(view).json).toString(), '{"a":1}')
})

t.test('a body nested a million deep is walked without running out of stack', async (t) => {
  const deep = `${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}`
  t.equal(redact(`{"a":${deep},"secret":${deep}}`, 'secret', 'a.0.0.0.x'), `{"a":${deep}}`)
})

/** JSON as it is written: numbers by their digits, members in order and as often as they are there. */
type Written = string | readonly Written[] | { readonly members: readonly (readonly [key: string, value: Written])[] }

const KEYS = ['a', 'b', '0', '', '*', 'é"\\', '__proto__', 'call']
const key = fc.constantFrom(...KEYS)
const scalar = fc.oneof(
  fc.constantFrom('12345678901234567890', '-0', '1.0', '1E+2', 'true', 'null', '""', '"\\u005d\\""', '"}],{["'),
  anyText().map((text) => JSON.stringify(text)),
)
const { written } = fc.letrec<{ written: Written }>((tie) => ({
  written: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    scalar,
    fc.array(tie('written'), { maxLength: 4 }),
    fc.array(fc.tuple(key, tie('written')), { maxLength: 5 }).map((members) => ({ members })),
  ),
}))
const path = fc.array(fc.constantFrom(...KEYS, '1', '*'), { minLength: 1, maxLength: 4 })

/** `blank` is asked for what stands between two tokens, `quote` for how a key is written. */
function text(json: Written, blank: () => string, quote: (key: string) => string): string {
  if (typeof json === 'string') return json
  const list = (open: string, parts: string[], close: string) =>
    parts.length === 0
      ? `${open}${blank()}${close}`
      : `${open}${blank()}${parts.join(`${blank()},${blank()}`)}${blank()}${close}`
  if (!('members' in json))
    return list(
      '[',
      json.map((value) => text(value, blank, quote)),
      ']',
    )
  const parts = json.members.map(([name, value]) => `${quote(name)}${blank()}:${blank()}${text(value, blank, quote)}`)
  return list('{', parts, '}')
}

/** What should be left, worked out on the structure instead of the text. */
function without(json: Written, paths: readonly (readonly string[])[]): Written {
  if (typeof json === 'string') return json
  const left = <T>(name: string, value: Written, member: (value: Written) => T): T[] => {
    const rest = paths.filter(([first]) => first === '*' || first === name).map((path) => path.slice(1))
    return rest.some((path) => path.length === 0) ? [] : [member(without(value, rest))]
  }
  if (!('members' in json)) return json.flatMap((value, index) => left(String(index), value, (inner) => inner))
  return { members: json.members.flatMap(([name, value]) => left(name, value, (inner) => [name, inner] as const)) }
}

const tokensOf = (json: string) => json.match(/"(?:[^"\\]|\\.)*"|[^\s"]/gs)?.join('') ?? ''
const escaped = (name: string) =>
  `"${[...name].map((letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')}"`

t.test('whatever the JSON and however it is written, exactly the members at the paths are gone', async (t) => {
  fc.assert(
    fc.property(
      written,
      fc.array(path, { minLength: 1, maxLength: 3 }),
      fc.infiniteStream(fc.nat(7)),
      (json, paths, dice) => {
        const roll = () => dice.next().value as number
        const blank = () => ['', '', '', '', ' ', '\n', '\t\r', '  '][roll()]!
        const quote = (name: string) => (roll() === 0 ? escaped(name) : JSON.stringify(name))
        const before = text(json, blank, quote)
        const after = Buffer.from(createRedaction(paths)(Buffer.from(before)).json).toString()
        const expected = text(without(json, paths), () => '', JSON.stringify)
        // The keys that stay may be written in either way; parsing each makes them one.
        const plain = tokensOf(after).replace(/"(?:[^"\\]|\\.)*"(?=:)/gs, (name) => JSON.stringify(JSON.parse(name)))
        if (plain !== expected) throw new Error(`${before}\n${paths.join(' ')}\n${plain}\n${expected}`)
      },
    ),
    { numRuns: 2_000 },
  )
  t.pass('2,000 of them')
})
