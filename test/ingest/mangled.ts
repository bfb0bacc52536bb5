import fc from 'fast-check'
import { anyText } from '../any-text.ts'

const PIECES = [
  ...[
    '\r\n',
    '\r\n\r\n',
    '\n',
    '\r',
    '\0',
    ' ',
    '\t',
    ':',
    ': ',
    ',',
    '\xff',
    '%',
    '%00',
    '%2e%2e/',
    '//',
    '/./',
    '?',
    '#',
    'http://a',
  ],
  ...[
    'HTTP/1.1',
    'HTTP/1.0',
    'HTTP/2.0',
    'GET ',
    'POST ',
    'PRI * ',
    'CONNECT ',
    'OPTIONS * ',
    'host: b\r\n',
    'Host:\r\n',
  ],
  ...[
    'content-length: 5\r\n',
    'content-length: -1\r\n',
    `content-length: ${'9'.repeat(30)}\r\n`,
    'transfer-encoding: chunked\r\n',
    'te: gzip\r\n',
  ],
  ...[
    'transfer-encoding: gzip\r\n',
    'expect: 100-continue\r\n',
    'expect: x\r\n',
    'upgrade: h2c\r\nconnection: upgrade\r\n',
    'connection: close\r\n',
  ],
  ...[
    '0\r\n\r\n',
    '5\r\nhello\r\n',
    'fffffffff\r\n',
    ';ext',
    '__proto__: x\r\n',
    `x: ${'y'.repeat(17_000)}\r\n`,
    'content-type: \xe4\r\n',
  ],
]

/** A request, or several, with a few pieces left out, put in or replaced, as bytes in latin1. */
export function mangled(requests: readonly string[]): fc.Arbitrary<string> {
  const change = fc.record({
    at: fc.nat(),
    drop: fc.oneof(fc.constant(0), fc.nat(20)),
    put: fc.oneof(fc.constantFrom(...PIECES), anyText({ maxLength: 4 }), fc.constant('')),
  })
  return fc
    .tuple(
      fc.array(fc.constantFrom(...requests), { minLength: 1, maxLength: 3 }),
      fc.array(change, { minLength: 1, maxLength: 4 }),
    )
    .map(([some, changes]) =>
      changes.reduce((text, { at, drop, put }) => {
        const place = at % (text.length + 1)
        return text.slice(0, place) + put + text.slice(place + drop)
      }, some.join('')),
    )
}

/** The statuses of all answers in what a connection has sent, and whether anything else was in it. */
export function answersIn(text: string): { statuses: number[]; rest: string } {
  const statuses: number[] = []
  let rest = text
  for (let head = /^HTTP\/1\.1 (\d{3}) [^\r]*\r\n([\s\S]*?)\r\n\r\n/.exec(rest); head !== null; ) {
    statuses.push(Number(head[1]))
    const length = Number(/^content-length: (\d+)\r?$/im.exec(head[2]!)?.[1] ?? 0)
    rest = rest.slice(head[0].length + length)
    // What Node answers by itself has no length but one empty chunk.
    if (/^transfer-encoding: chunked/im.test(head[2]!)) rest = rest.replace(/^0\r\n\r\n/, '')
    head = /^HTTP\/1\.1 (\d{3}) [^\r]*\r\n([\s\S]*?)\r\n\r\n/.exec(rest)
  }
  return { statuses, rest }
}
