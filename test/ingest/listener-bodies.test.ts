import { once } from 'node:events'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { eventually } from '../eventually.ts'
import { headOf } from './raw-http.ts'
import { SAMPLE, TrialListener } from './trial-listener.ts'

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
  t.equal(JSON.parse(answer.body).error, 'payload_invalid')
  t.same(trial.outbox.rejections[0]?.kept?.body, body)
  t.equal((await trial.genuine(SAMPLE, { headers: { 'Content-Encoding': 'gzip' } })).status, 204, 'and plain ones too')
})

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
