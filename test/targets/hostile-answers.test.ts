import fc from 'fast-check'
import t, { type Test } from 'tap'
import { createHttpExchanges } from '../../src/targets/http-exchange.ts'
import { anyText } from '../any-text.ts'
import { holds } from '../holds.ts'
import { tcpServer } from '../local-server.ts'
import { HOSTILE_ANSWERS } from './hostile-answers.ts'
import { running } from './sample-delivery.ts'

function exchangesWith(t: Test, origin: string, timeoutMs: number) {
  const made = createHttpExchanges({ url: new URL(origin), method: 'POST', timeoutMs, concurrency: 1 })
  t.teardown(() => made.close())
  return () => made.send(['content-type', 'application/json'], Buffer.from('{}'), running)
}

t.test('whatever a server answers becomes an outcome that says what it was, and the next one too', async (t) => {
  const tried = Object.entries(HOSTILE_ANSWERS).map(([what, hostile]) => ({ what, ...hostile }))
  const [floods, others] = [true, false].map((isFlood) =>
    tried.filter(({ what }) => /flood|endless/.test(what) === isFlood),
  )

  async function attempts({ what, answer, told, note }: (typeof tried)[number], times: number) {
    const { origin } = await tcpServer(t, (socket) => socket.on('data', () => {}).once('data', () => answer(socket)))
    const send = exchangesWith(t, origin, (told ?? note)?.test('timeout: no complete answer within') ? 300 : 10_000)
    const expected = told === null ? { kind: 'answered', note } : { kind: 'failed', error: told }
    // A connection that was answered is used again, and this server answers once on each.
    for (let time = 1; time <= (told === null ? 1 : times); time++) t.match(await send(), expected, `${what}, ${time}`)
  }

  await Promise.all(others!.map((each) => attempts(each, 2)))
  // Each of these takes all the machine there is.
  for (const each of floods!) await attempts(each, 1)
})

t.test('an answer that ends with its headers is delivered, whatever they say of a body', async (t) => {
  for (const status of [204, 304]) {
    const { origin } = await tcpServer(t, (socket) =>
      socket.on('data', () => socket.write(`HTTP/1.1 ${status} X\r\ncontent-length: 5\r\n\r\nhello`)),
    )
    const send = exchangesWith(t, origin, 2_000)
    for (let i = 0; i < 3; i++) t.match(await send(), { kind: 'answered', status })
  }
})

const SOUND = [
  'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nRetry-After: 7\r\n\r\nhello',
  'HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5;a=b\r\nhello\r\n0\r\nx: y\r\n\r\n',
  'HTTP/1.1 102 Wait\r\n\r\nHTTP/1.1 103 Early\r\nlink: a\r\n\r\nHTTP/1.0 404 No\r\n\r\nnothing',
]
const PIECES = [
  '\r\n',
  '\r\n\r\n',
  '\0',
  '\n',
  ' ',
  ':',
  'HTTP/1.1 ',
  '101',
  '\xff',
  '-1',
  '9'.repeat(25),
  'chunked',
  '0\r\n\r\n',
]

/** A sound answer with a few pieces of it left out, doubled or replaced. */
const mangled = fc
  .tuple(
    fc.constantFrom(...SOUND),
    fc.array(
      fc.record({
        at: fc.nat(),
        drop: fc.nat(12),
        put: fc.oneof(fc.constantFrom(...PIECES), anyText({ maxLength: 4 }), fc.constant('')),
      }),
      { minLength: 1, maxLength: 2 },
    ),
  )
  .map(([sound, changes]) =>
    changes.reduce((text, { at, drop, put }) => {
      const place = at % (text.length + 1)
      return text.slice(0, place) + put + text.slice(place + drop)
    }, sound),
  )

t.test('mangled answers are outcomes in words that help, and leave the pool as it was', async (t) => {
  let answer = ''
  const { origin } = await tcpServer(t, (socket) =>
    socket.on('data', () => {}).once('data', () => socket.end(Buffer.from(answer, 'latin1'))),
  )
  const send = exchangesWith(t, origin, 5_000)
  const kinds: Record<string, number> = {}
  const says = (text: string) => !/unknown|UND_ERR|ASSERT/.test(text)
  await holds(
    t,
    fc.asyncProperty(mangled, async (text) => {
      answer = text
      const result = await send()
      kinds[result.kind] = (kinds[result.kind] ?? 0) + 1
      if (result.kind === 'answered') return says(result.note ?? '')
      return result.kind === 'failed' && /^(protocol|network): /.test(result.error) && says(result.error)
    }),
    150,
    () => JSON.stringify(kinds),
  )
  t.ok(kinds.answered! > 0 && kinds.failed! > 0, 'there were both')
  answer = SOUND[0]!
  t.match(await send(), { kind: 'answered', status: 200, response: 'hello' })
})
