import t from 'tap'
import { eventually } from '../eventually.ts'
import { headOf } from './raw-http.ts'
import { SAMPLE, TrialListener } from './trial-listener.ts'

const HEAD = 'POST /webhooks/open HTTP/1.1\r\nHost: relay.test\r\n'

/** By what is wrong with them. Whoever is in front of the relay may read each of these in another way than the relay. */
const UNREADABLE: Record<string, string> = {
  'a length and chunks': `${HEAD}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  'chunks and a length': `${HEAD}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`,
  'chunks that are not last': `${HEAD}Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n`,
  'an encoding that looks like chunks': `${HEAD}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`,
  'two lengths': `${HEAD}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello`,
  'the same length twice': `${HEAD}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`,
  'two lengths in one': `${HEAD}Content-Length: 5, 5\r\n\r\nhello`,
  'a signed length': `${HEAD}Content-Length: +5\r\n\r\nhello`,
  'a length in hex': `${HEAD}Content-Length: 0x5\r\n\r\nhello`,
  'a length beyond all numbers': `${HEAD}Content-Length: ${'9'.repeat(30)}\r\n\r\nhello`,
  'a negative chunk': `${HEAD}Transfer-Encoding: chunked\r\n\r\n-1\r\n`,
  'a chunk beyond all numbers': `${HEAD}Transfer-Encoding: chunked\r\n\r\n${'f'.repeat(17)}\r\n`,
  'an endless extension of a chunk': `${HEAD}Transfer-Encoding: chunked\r\n\r\n5;${'x'.repeat(20_000)}\r\nhello\r\n0\r\n\r\n`,
  'a space before the colon': `${HEAD}Content-Length : 5\r\n\r\nhello`,
  'a folded header': `${HEAD}X-A: a\r\n b\r\n\r\n`,
  'a NUL in a header': `${HEAD}X-A: a\0b\r\n\r\n`,
  'bare line feeds': 'POST /webhooks/open HTTP/1.1\nHost: a\nContent-Length: 13\n\n{"event":"w"}',
  'bare carriage returns': 'POST /webhooks/open HTTP/1.1\rHost: a\r\r',
  'the preface of HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'a hello of TLS': '\x16\x03\x01\x00\xca\x01\x00\x00\xc6\x03\x03',
  'a version that is none': 'POST /webhooks/open HTTP/7.7\r\nHost: a\r\n\r\n',
  'no HTTP at all': 'EHLO mail.test\r\n',
}

t.test('what cannot be read as a request is answered, told of once, and ends its connection', async (t) => {
  const trial = await TrialListener.start(t)
  for (const [what, bytes] of Object.entries(UNREADABLE)) {
    const connection = await trial.connect()
    connection.write(Buffer.from(bytes, 'latin1'))
    const answer = await connection.answer()
    t.equal(answer.status, 400, what)
    t.same(JSON.parse(answer.body), { error: 'request_invalid', message: 'this is not HTTP' }, what)
    await connection.closed
    const told = { status: 400, peer: '127.0.0.1', asked: true, requestId: answer.headers['x-request-id'] }
    t.match(trial.unreadable.splice(0), [{ ...told, problem: /^HPE_\w+$/ }], what)
  }
  t.same(trial.outbox.recorded, [])
  t.same(trial.answered, [])
})

t.test('headers that are too large are answered 431, whichever they are', async (t) => {
  const trial = await TrialListener.start(t)
  for (const head of [
    `POST /${'a'.repeat(20_000)} HTTP/1.1\r\n\r\n`,
    `${HEAD}X-A: ${'y'.repeat(20_000)}\r\n\r\n`,
    `${HEAD}${'A: bcdefg\r\n'.repeat(5_000)}\r\n`,
  ]) {
    const connection = await trial.connect()
    connection.write(head)
    t.equal((await connection.answer()).status, 431)
    t.match(trial.unreadable.splice(0), [{ status: 431, problem: 'HPE_HEADER_OVERFLOW', asked: true }])
  }
})

t.test(
  'the size of headers that are accepted is configured; a reload changes it for connections to come',
  async (t) => {
    const trial = await TrialListener.start(t, { maxHeaderSizeBytes: 32 * 1024 })
    const certificate = 'c'.repeat(17_000)
    const event = (name: string) => trial.genuine(`{"event":"${name}"}`, { headers: { 'X-Client-Cert': certificate } })
    t.equal((await event('a')).status, 204)
    await trial.configure({ maxHeaderSizeBytes: 8 * 1024 })
    const refused = await event('b')
    t.equal(refused.status, 431)
    t.match(JSON.parse(refused.body), { error: 'headers_too_large', message: /request line and the headers/ })
    t.match(trial.unreadable, [{ status: 431, reason: 'headers_too_large' }])
    await trial.configure({ maxHeaderSizeBytes: 32 * 1024 })
    t.equal((await event('c')).status, 204)
  },
)

t.test('more headers than are counted are answered 431: the signature may be the one that is dropped', async (t) => {
  const trial = await TrialListener.start(t)
  const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, n) => [`x-${n}`, '']))
  const send = (count: number) =>
    trial.send({ body: SAMPLE, headers: { ...many(count), ...trial.signed(SAMPLE), 'Content-Length': '46' } })
  // With Host, the two of the signature and the length.
  t.equal((await send(996)).status, 204)
  const refused = await send(997)
  t.equal(refused.status, 431)
  t.match(JSON.parse(refused.body), { error: 'headers_too_large', message: 'more than 1000 headers' })
  t.match(trial.outbox.rejections, [{ source: 'ultravox', reason: 'headers_too_large', kept: null }])
  t.equal((await send(1_500)).status, 431)

  // Newer versions of Node reject what older ones drop, such as Host.
  const connection = await trial.connect()
  const lines = Object.entries({ ...trial.signed(SAMPLE), 'Content-Length': '46', ...many(1_001), Host: 'relay.test' })
  connection.write(`POST /webhooks/ultravox HTTP/1.1\r\n${lines.map((line) => line.join(': ')).join('\r\n')}\r\n\r\n`)
  connection.write(SAMPLE)
  t.match(await connection.answer(), { status: 431, body: /more than 1000/ })
})

t.test('a request without a Host header is answered like any other that is rejected', async (t) => {
  const trial = await TrialListener.start(t)
  const connection = await trial.connect()
  connection.write('POST /webhooks/ultravox HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}')
  const answer = await connection.answer()
  t.equal(answer.status, 400)
  t.same(JSON.parse(answer.body), { error: 'request_invalid', message: 'the request has no Host header' })
  t.match(trial.outbox.rejections, [{ source: 'ultravox', reason: 'request_invalid', kept: null }])
})

t.test('a connection on which nothing is asked, and one that breaks off, ask for nothing', async (t) => {
  const trial = await TrialListener.start(t)
  trial.listener.server.headersTimeout = 100
  const silent = await trial.connect()
  t.equal((await silent.answer()).status, 408)
  t.match(trial.unreadable.splice(0), [{ status: 408, asked: false }])
  const broken = await trial.connect()
  broken.write('POST /webh')
  await trial.otherTraffic()
  broken.socket.resetAndDestroy()
  await eventually(() => trial.unreadable.length > 0, 'it is told of')
  t.match(trial.unreadable, [{ problem: 'ECONNRESET', asked: false }])
})

t.test('a genuine event is taken whatever its sender expects, on the way in or behind other requests', async (t) => {
  const trial = await TrialListener.start(t)
  t.equal((await trial.genuine(SAMPLE, { headers: { Expect: '200-ok' } })).status, 204)
  const bodies = ['{"event":"a"}', '{"event":"b"}', '{"event":"c"}']
  const connection = await trial.connect()
  const requests = bodies.map((body) => headOf({ body, headers: trial.signed(body) }) + body)
  connection.write(`GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n${requests.join('')}`)
  const statuses: number[] = []
  for (let i = 0; i < 4; i++) statuses.push((await connection.answer()).status)
  t.same(statuses, [404, 204, 204, 204])
  t.same(
    trial.outbox.recorded.slice(1).map(({ event }) => Buffer.from(event.body).toString()),
    bodies,
  )
  connection.end()
})
