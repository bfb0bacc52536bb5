import { once } from 'node:events'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { eventually } from '../eventually.ts'
import { headOf } from './raw-http.ts'
import { OPEN_PATH, SAMPLE, TrialListener } from './trial-listener.ts'

const CONTENT_TYPES = [
  'application/json',
  'application/json; charset=utf-8',
  'APPLICATION/JSON',
  'application/cloudevents+json; charset=latin1',
  'text/plain',
  'application/x-www-form-urlencoded',
  'multipart/form-data',
  'application/octet-stream',
  'garbage',
  'a/b/c;;=',
  ';',
  '*/*',
  '*',
  'x'.repeat(2_000),
  'text/plän',
]

t.test('a genuine event is taken with any Content-Type, valid or not, which is kept as received', async (t) => {
  const trial = await TrialListener.start(t)
  for (const [i, contentType] of CONTENT_TYPES.entries()) {
    const body = `{"event":"x","call":{"callId":"${i}"}}`
    t.equal((await trial.genuine(body, { headers: { 'Content-Type': contentType } })).status, 204, contentType)
    t.match(trial.outbox.recorded.at(-1)?.event, { contentType, body: Buffer.from(body) })
  }
})

t.test('a genuine event is taken without a Content-Type, in one piece or in chunks', async (t) => {
  const trial = await TrialListener.start(t)
  t.equal((await trial.genuine()).status, 204)
  t.equal(trial.outbox.recorded.at(-1)?.event.contentType, null)
  const connection = await trial.connect()
  const body = '{"event":"chunked"}'
  connection.write(headOf({ headers: { ...trial.signed(body), 'Transfer-Encoding': 'chunked' } }))
  for (const byte of body) connection.write(`1\r\n${byte}\r\n`)
  connection.write('0\r\n\r\n')
  t.equal((await connection.answer()).status, 204)
  t.same(trial.outbox.recorded.at(-1)?.event.body, Buffer.from(body))
  connection.end()
})

t.test('a genuine body is recorded byte for byte, whatever bytes it holds', async (t) => {
  const trial = await TrialListener.start(t)
  const bodies = [
    '{"event":"x","__proto__":{"polluted":true},"call":{"__proto__":{"callId":"p"},"callId":"1"}}',
    '{"event":"x","constructor":{"prototype":{"polluted":true}},"call":{"callId":"2"}}',
    ' {\r\n\t"event" : "x", "n": 1.0, "n": 1e400, "call":{"callId":"3"} } \n',
    '{"event":"x","text":"\\u0000\\ud800 ü 🔑","call":{"callId":"4"}}',
    Buffer.concat([
      Buffer.from('{"event":"x","call":{"callId":"5","b":"'),
      Buffer.from([0xff, 0xc3, 0x80]),
      Buffer.from('"}}'),
    ]),
  ]
  for (const body of bodies) {
    t.equal((await trial.genuine(body)).status, 204)
    t.same(trial.outbox.recorded.at(-1)?.event.body, Buffer.from(body))
  }
  t.equal(({} as { polluted?: unknown }).polluted, undefined)
})

t.test('a compressed body is kept as the bytes that came, whatever Content-Encoding says of them', async (t) => {
  const trial = await TrialListener.start(t)
  const body = gzipSync(SAMPLE)
  const answer = await trial.genuine(body, { headers: { 'Content-Encoding': 'gzip' } })
  t.match(answer, { status: 415, headers: { 'accept-encoding': 'identity' } })
  t.equal(JSON.parse(answer.body).error, 'encoding_unsupported')
  t.same(trial.outbox.rejections[0]?.kept?.body, body)
  t.equal((await trial.genuine(SAMPLE, { headers: { 'Content-Encoding': 'gzip' } })).status, 204, 'and plain ones too')
})

t.test(
  'a body that was compressed after it was signed is answered 415 with its encoding and what to change',
  async (t) => {
    const trial = await TrialListener.start(t)
    const body = gzipSync(SAMPLE)
    for (const [header, value, named] of [
      ['Content-Encoding', 'gzip', 'Content-Encoding: gzip'],
      ['content-encoding', 'X-GZIP', 'Content-Encoding: x-gzip'],
      ['Content-Encoding', 'br', 'Content-Encoding: br'],
      ['Content-Encoding', ' zstd ', 'Content-Encoding: zstd'],
      ['Content-Encoding', 'identity, deflate', 'Content-Encoding: deflate'],
      ['Content-Encoding', 'identity\r\nContent-Encoding: gzip', 'Content-Encoding: gzip'],
      ['Content-Encoding', '<script>', 'Content-Encoding: unknown'],
      ['Transfer-Encoding', 'gzip, chunked', 'Transfer-Encoding: gzip'],
    ] as const) {
      const answer = await trial.send({
        headers: { ...trial.signed(SAMPLE), [header]: value },
        body: header === 'Transfer-Encoding' ? '0\r\n\r\n' : body,
      })
      t.equal(answer.status, 415, value)
      t.match(JSON.parse(answer.body), { error: 'encoding_unsupported', message: named }, value)
      t.match(JSON.parse(answer.body).message, /switch off the compression of requests/)
      const { reason, headers, kept } = trial.outbox.rejections.pop()!
      t.match({ reason, kept }, { reason: 'encoding_unsupported', kept: null })
      t.match(JSON.parse(headers)[header.toLowerCase()], value.split('\r')[0]!.trim(), 'on record')
    }
    for (const value of ['identity', 'IDENTITY', '', 'identity, identity']) {
      const answer = await trial.genuine(`{"event":"${value}!"}`, { headers: { 'Content-Encoding': value } })
      t.equal(answer.status, 204, value)
    }
    t.match(await trial.unsigned({ path: OPEN_PATH, body, headers: { 'Content-Encoding': 'gzip' } }), { status: 415 })
  },
)

t.test(
  'a signed body with a byte order mark, or in UTF-16 or UTF-32, is an event of the bytes that came',
  async (t) => {
    const trial = await TrialListener.start(t)
    const text = '{"event":"call.ended","call":{"callId":"c-ü🔑"}}'
    const utf16 = Buffer.from(text, 'utf16le')
    const utf32 = Buffer.alloc([...text].length * 4)
    for (const [index, character] of [...text].entries()) utf32.writeUInt32LE(character.codePointAt(0)!, index * 4)
    const swapped = { utf16: Buffer.from(utf16).swap16(), utf32: Buffer.from(utf32).swap32() }
    const bodies = [
      Buffer.from(`\ufeff${text}`),
      Buffer.from(`\ufeff\ufeff${text}`),
      utf16,
      Buffer.from(`\ufeff${text}`, 'utf16le'),
      swapped.utf16,
      Buffer.concat([Buffer.from([0xfe, 0xff]), swapped.utf16]),
      utf32,
      Buffer.concat([Buffer.from([0xff, 0xfe, 0, 0]), utf32]),
      swapped.utf32,
      Buffer.concat([Buffer.from([0, 0, 0xfe, 0xff]), swapped.utf32]),
    ]
    for (const body of bodies) {
      const answer = await trial.genuine(body, { headers: { 'Content-Type': 'application/json; charset=utf-16' } })
      t.equal(answer.status, 204, body.subarray(0, 6).toString('hex'))
    }
    t.equal(trial.outbox.recorded.length, 1, 'the same call in whatever encoding is one event')
    t.match(trial.outbox.recorded[0]?.event, { event: 'call.ended', callId: 'c-ü🔑', body: bodies[0] })
    t.same(
      trial.outbox.duplicates.map(({ body }) => body),
      bodies.slice(1),
    )
    for (const broken of [
      utf16.subarray(1),
      utf32.subarray(2),
      Buffer.from([0xff, 0xfe]),
      Buffer.from([0xef, 0xbb, 0xbf]),
    ]) {
      t.equal((await trial.genuine(broken)).status, 400)
      t.same(trial.outbox.rejections.at(-1)?.kept?.body, broken, 'kept, for an operator to accept')
    }
  },
)

t.test('a request without any body is verified like any other', async (t) => {
  const trial = await TrialListener.start(t)
  t.equal((await trial.send({})).status, 401)
  const chunked = { 'Transfer-Encoding': 'chunked' }
  t.equal((await trial.send({ headers: chunked, body: '0\r\n\r\n' })).status, 401)
  t.equal((await trial.send({ headers: trial.signed('') })).status, 400)
  // Without signature headers a body is not waited for, so the size of a chunked one is not known.
  t.match(trial.outbox.rejections, [{ bytes: 0 }, { bytes: null }, { bytes: 0, kept: { body: Buffer.alloc(0) } }])
})

t.test('a request that its headers condemn is refused before its body has come', async (t) => {
  const trial = await TrialListener.start(t)
  for (const headers of [{}, { ...trial.signed('x'), 'X-Ultravox-Webhook-Timestamp': 'yesterday' }]) {
    const connection = await trial.connect()
    connection.write(headOf({ headers: { ...headers, 'Content-Length': '900000' } }))
    t.equal((await connection.answer()).status, 401)
    connection.end()
  }
  t.match(trial.outbox.rejections, [
    { reason: 'signature_missing', bytes: 900_000 },
    { reason: 'timestamp_duplicated', bytes: 900_000 },
  ])
})

t.test('a body exactly at the limit is taken, one byte more is answered 413', async (t) => {
  const trial = await TrialListener.start(t, { bodyLimitBytes: 200 })
  const bodyOf = (length: number) => SAMPLE.padEnd(length, ' ')
  t.equal((await trial.genuine(bodyOf(200))).status, 204)
  const answer = await trial.genuine(bodyOf(201))
  t.equal(answer.status, 413)
  t.equal(JSON.parse(answer.body).error, 'body_too_large')
  t.match(trial.outbox.rejections, [{ reason: 'body_too_large', bytes: 201, kept: null }])
})

t.test('a Content-Length over the limit is answered 413 before any of the body has come', async (t) => {
  const trial = await TrialListener.start(t)
  const connection = await trial.connect()
  connection.write(headOf({ headers: { 'Content-Length': '1000000000' } }))
  const answer = await connection.answer()
  t.equal(answer.status, 413)
  t.equal(answer.headers.connection, 'close')
  await connection.closed
  t.match(trial.outbox.rejections, [{ reason: 'body_too_large', bytes: 1_000_000_000, kept: null }])
})

t.test('chunks that go over the limit are answered 413, however long they would go on', async (t) => {
  const trial = await TrialListener.start(t, { bodyLimitBytes: 1_000 })
  const connection = await trial.connect()
  connection.write(headOf({ headers: { ...trial.signed('x'), 'Transfer-Encoding': 'chunked' } }))
  for (let i = 0; i < 11; i += 1) connection.write(`64\r\n${'x'.repeat(100)}\r\n`)
  const answer = await connection.answer()
  t.equal(answer.status, 413)
  t.equal(JSON.parse(answer.body).error, 'body_too_large')
  await connection.closed
  t.match(trial.outbox.rejections, [{ reason: 'body_too_large', bytes: null, kept: null }])
})

t.test('a body that breaks off is not taken, not even where it was signed as far as it came', async (t) => {
  const trial = await TrialListener.start(t)
  const connection = await trial.connect()
  connection.write(
    headOf({ headers: { ...trial.signed(SAMPLE), 'Content-Length': String(SAMPLE.length + 1) } }) + SAMPLE,
  )
  connection.socket.end()
  await once(connection.socket, 'close')
  await eventually(() => trial.outbox.rejections.length === 1, 'the broken request is on record')
  t.match(trial.outbox.rejections, [{ reason: 'request_invalid', kept: null }])
  t.same(trial.outbox.recorded, [])
  t.same(trial.failures, [])
})

t.test('a sender that is gone before its event is on disk does not keep it from getting there', async (t) => {
  const trial = await TrialListener.start(t)
  const release = trial.hold()
  const begun = trial.outbox.nextCall()
  const connection = await trial.connect()
  connection.write(headOf({ headers: trial.signed(SAMPLE), body: SAMPLE }) + SAMPLE)
  await begun
  connection.socket.resetAndDestroy()
  await trial.otherTraffic()
  release()
  await eventually(() => trial.outbox.recorded.length === 1, 'the event is on record')
  t.equal(trial.outbox.recorded.length, 1)
  t.same(trial.failures, [])
})

t.test('requests one behind the other on a connection are each taken whole', async (t) => {
  const trial = await TrialListener.start(t)
  const connection = await trial.connect()
  const bodies = ['a', 'b', 'c'].map((id) => `{"event":"x","call":{"callId":"${id}"}}`)
  connection.write(bodies.map((body) => headOf({ headers: trial.signed(body), body }) + body).join(''))
  for (const _ of bodies) t.equal((await connection.answer()).status, 204)
  t.same(trial.outbox.recorded.map(({ event }) => event.callId).sort(), ['a', 'b', 'c'])
  connection.end()
})
