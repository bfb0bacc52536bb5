import { Socket } from 'node:net'
import fc from 'fast-check'
import t from 'tap'
import { filterHeads } from '../../src/outgoing/head-filter.ts'
import { readResponseHead } from '../../src/outgoing/response-head.ts'
import { holds } from '../holds.ts'

/** What a parser reads of a head; null where it is read as it came. */
function rewritten(head: string): string | null {
  const read = readResponseHead(Buffer.from(head, 'latin1'))
  if (read.kind !== 'final') throw new Error(read.kind)
  return read.rewritten?.toString('latin1') ?? null
}

t.test('heads in order are read as they came', async (t) => {
  for (const head of [
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Name: caf\xe9\tau lait\r\n\r\n',
    'HTTP/1.1 200\r\nTransfer-Encoding: Chunked\r\n\r\n',
    'HTTP/1.0 404 \r\n\r\n',
    'HTTP/1.1 204 No Content\r\nServer: x\r\n\r\n',
  ]) {
    t.equal(rewritten(head), null, JSON.stringify(head))
  }
})

t.test('heads out of order are rewritten as curl reads them, and end the connection', async (t) => {
  const ok = 'HTTP/1.1 200 OK\r\n'
  const heads: [string, string][] = [
    ['HTTP/1.1 200 OK\na: b\ncontent-length: 2\n\n', 'a: b\r\ncontent-length: 2\r\n'],
    [`${ok}a: b\r\n  c\r\n\td\r\n\r\n`, 'a: b c d\r\n'],
    [`${ok}a : b\r\n: c\r\nno colon\r\nx y: z\r\n\r\n`, 'a: b\r\n'],
    [`${ok}a: b\x01c\rd\r\n\r\n`, 'a: b c d\r\n'],
    [`${ok}Content-Length: 2\r\ncontent-length: 2, 02\r\n\r\n`, 'content-length: 2\r\n'],
    [`${ok}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n`, 'transfer-encoding: chunked\r\n'],
    [`${ok}Content-Length : 2\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\n`, 'content-length: 2\r\n'],
    ['http/1.1  200  OK\r\n\r\n', ''],
    ['HTTP/2 200OK\r\n\r\n', ''],
  ]
  for (const [head, headers] of heads) {
    t.equal(rewritten(head), `HTTP/1.1 200 OK\r\n${headers}connection: close\r\n\r\n`, JSON.stringify(head))
  }
  t.equal(
    rewritten('HTTP/1.1 204 X\r\ntransfer-encoding: chunked\r\n\r\n'),
    'HTTP/1.1 204 X\r\nconnection: close\r\n\r\n',
  )
})

t.test('however a connection is cut into pieces, the parser gets the answer alone', async (t) => {
  const head = fc.constantFrom('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n', 'HTTP/1.1 500 No\r\nx: y\r\n\r\n')
  const interim = fc.constantFrom(
    'HTTP/1.1 100 Continue\r\n\r\n',
    'HTTP/1.0 102 Wait\r\nx: y\r\n\r\n',
    'HTTP/1.1 103 Early\n\n',
    '\r\n',
  )
  const body = fc.constantFrom('', 'ok', 'HTTP/1.1 100 Continue\r\n\r\n', '\n\n\r\n')
  const answer = fc.record({ interims: fc.array(interim, { maxLength: 3 }), head, body, cuts: fc.array(fc.nat(120)) })
  await holds(
    t,
    fc.property(fc.array(answer, { minLength: 1, maxLength: 3 }), (answers) => {
      const socket = new Socket()
      const filter = filterHeads(socket)
      return answers.every(({ interims, head, body, cuts }) => {
        filter.expect()
        const bytes = Buffer.from(interims.join('') + head + body, 'latin1')
        let from = 0
        for (const to of [...cuts.filter((cut) => cut < bytes.length).sort((a, b) => a - b), bytes.length]) {
          if (to > from) socket.push(bytes.subarray(from, to))
          from = to
        }
        filter.ended()
        return (socket.read() as Buffer).toString('latin1') === head + body
      })
    }),
    500,
  )
})
