import { createHash } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { bodyHash, callIdOf, type Payload, parsePayload } from '../../src/domain/event.ts'

const parse = (text: string | Uint8Array) => parsePayload(Buffer.from(text))
const problemOf = (text: string | Uint8Array) => {
  const parsed = parse(text)
  return 'problem' in parsed ? parsed.problem : null
}
const payloadOf = (text: string | Uint8Array) => {
  const parsed = parse(text)
  return 'payload' in parsed ? parsed.payload : null
}

t.test('a JSON object with a string event is a payload, whatever else is in it', async (t) => {
  t.same(payloadOf('{"event":"call.ended","call":{"callId":"c"}}'), { event: 'call.ended', call: { callId: 'c' } })
  t.same(payloadOf(' {"event":"something.new"}\n'), { event: 'something.new' })
  t.same(payloadOf('{"event":"x","call":null,"more":[1]}'), { event: 'x', call: null, more: [1] })
})

t.test('a body that is no JSON is told so', async (t) => {
  for (const text of ['', ' ', '{', '{"event":"x"}x', "{'event':'x'}", '{"event":"x",}', 'event=x']) {
    t.equal(problemOf(text), 'the body is not JSON', JSON.stringify(text))
  }
  t.equal(problemOf(Buffer.from([0x1f, 0x8b, 0x08, 0x00])), 'the body is not JSON')
})

t.test('JSON that is no object is told so', async (t) => {
  for (const text of ['[]', '[{"event":"x"}]', 'null', 'true', '1', '"call.ended"']) {
    t.equal(problemOf(text), 'the body is not a JSON object', text)
  }
})

t.test('an object without a string event is told so', async (t) => {
  const texts = [
    '{}',
    '{"event":""}',
    '{"event":null}',
    '{"event":1}',
    '{"event":["x"]}',
    '{"event":{}}',
    '{"Event":"x"}',
  ]
  for (const text of texts) t.equal(problemOf(text), 'the body has no string "event"', text)
})

t.test('an event name cannot come in through __proto__', async (t) => {
  t.equal(problemOf('{"__proto__":{"event":"x"}}'), 'the body has no string "event"')
  t.equal(({} as { event?: unknown }).event, undefined)
})

t.test('a payload that holds __proto__ is a payload like any other', async (t) => {
  const payload = payloadOf('{"event":"x","__proto__":{"a":1},"call":{"__proto__":{"callId":"p"},"constructor":{}}}')
  t.equal(payload?.event, 'x')
  t.equal(callIdOf(payload as Payload), null)
  t.equal(({} as { a?: unknown }).a, undefined)
})

t.test('a payload whose own keys are "problem" and "payload" is no problem', async (t) => {
  const parsed = parse('{"event":"x","problem":"p","payload":{}}')
  t.notOk('problem' in parsed)
  t.same(payloadOf('{"event":"x","problem":"p","payload":{}}'), { event: 'x', problem: 'p', payload: {} })
})

t.test('bytes that are no UTF-8 inside a string do not keep a payload from being read', async (t) => {
  const body = Buffer.concat([Buffer.from('{"event":"x","note":"'), Buffer.from([0xff, 0xc3]), Buffer.from('"}')])
  t.equal(payloadOf(body)?.event, 'x')
})

t.test('of an event named twice the last counts, as in JSON.parse', async (t) => {
  t.equal(payloadOf('{"event":"a","event":"b"}')?.event, 'b')
})

t.test('a body that is a part of a larger buffer is read by its own bounds', async (t) => {
  const text = '{"event":"x"}'
  const whole = Buffer.from(`garbage${text}garbage`)
  t.same(parsePayload(new Uint8Array(whole.buffer, whole.byteOffset + 7, text.length)), { payload: { event: 'x' } })
})

t.test('nothing that can be sent makes reading throw', async (t) => {
  const bodies = fc.oneof(
    fc.uint8Array(),
    fc.json().map((text) => Buffer.from(text)),
    fc.record({ event: fc.jsonValue(), call: fc.jsonValue() }).map((value) => Buffer.from(JSON.stringify(value))),
  )
  fc.assert(
    fc.property(bodies, (body) => {
      const parsed = parsePayload(body)
      if ('problem' in parsed) return typeof parsed.problem === 'string'
      const callId = callIdOf(parsed.payload)
      return parsed.payload.event !== '' && (callId === null || (typeof callId === 'string' && callId !== ''))
    }),
    { numRuns: 2_000 },
  )
  t.ok(payloadOf(`{"event":"x","call":${'['.repeat(100_000)}${']'.repeat(100_000)}}`), 'deep nesting')
})

t.test('the call id is call.callId where that is a string with something in it, else null', async (t) => {
  const callIds: [unknown, string | null][] = [
    [{ callId: 'c' }, 'c'],
    [{ callId: '0' }, '0'],
    [{ callId: '' }, null],
    [{ callId: 1 }, null],
    [{ callId: null }, null],
    [{ callId: ['c'] }, null],
    [{ callId: { toString: 'c' } }, null],
    [{}, null],
    [[], null],
    [[{ callId: 'c' }], null],
    ['c', null],
    [7, null],
    [null, null],
    [undefined, null],
  ]
  for (const [call, callId] of callIds) t.equal(callIdOf({ event: 'x', call }), callId, JSON.stringify(call))
  t.equal(callIdOf({ event: 'x' }), null)
})

t.test('a call id or a name that bytes which are no UTF-8 are read as tells no events apart', async (t) => {
  const idOf = (text: string) => callIdOf(payloadOf(Buffer.from(text, 'latin1')) as Payload)
  t.equal(idOf('{"event":"x","call":{"callId":"c\xff"}}'), null)
  t.equal(idOf('{"event":"x\xfe","call":{"callId":"c"}}'), null)
  t.equal(idOf('{"event":"x","call":{"callId":"c\xc3\xbc","note":"\xff"}}'), 'cü')
})

t.test('half a surrogate pair identifies nothing, in a call id or a name', async (t) => {
  for (const callId of ['x\ud800', '\udc00x', '\ude00\ud83d', 'x\0', '\0']) {
    t.equal(callIdOf({ event: 'x', call: { callId } }), null, JSON.stringify(callId))
  }
  t.equal(callIdOf({ event: 'x', call: { callId: 'y\ud83d\ude00' } }), 'y😀')
  for (const event of ['x\ud800', 'x\0'])
    t.equal(callIdOf({ event, call: { callId: 'c' } }), null, JSON.stringify(event))
  const payload = payloadOf('{"event":"x\\ud800","call":{"callId":"c"}}')
  t.equal(payload?.event, 'x\ufffd', 'the name is stored as every driver stores it')
  t.equal(callIdOf(payload as Payload), null)
})

t.test('names of events have a bound, and longer call ids identify nothing', async (t) => {
  t.equal(payloadOf(JSON.stringify({ event: 'n'.repeat(256) }))?.event, 'n'.repeat(256))
  t.equal(
    problemOf(JSON.stringify({ event: 'n'.repeat(257) })),
    'the "event" has 257 characters; at most 256 are allowed',
  )
  t.equal(callIdOf({ event: 'x', call: { callId: 'i'.repeat(256) } }), 'i'.repeat(256))
  t.equal(callIdOf({ event: 'x', call: { callId: 'i'.repeat(257) } }), null)
})

t.test('whatever a call id is, one that is taken as an identity survives UTF-8', async () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (event, callId) => {
      const body = Buffer.from(JSON.stringify({ event: `e${event}`.slice(0, 256), call: { callId } }))
      const parsed = parsePayload(body)
      if ('problem' in parsed) return false
      const id = callIdOf(parsed.payload)
      const stored = (text: string) => Buffer.from(text).toString()
      return (
        stored(parsed.payload.event) === parsed.payload.event && (id === null || (id === callId && stored(id) === id))
      )
    }),
  )
})

t.test('a body’s hash is the hex SHA-256 of its bytes', async (t) => {
  t.equal(bodyHash(new Uint8Array()), 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')
  const body = Buffer.from([0xff, 0x00, 0x80])
  t.equal(bodyHash(body), createHash('sha256').update(body).digest('hex'))
})
