import type { Socket } from 'node:net'

/** What a server does once the first bytes of a request are there. */
export interface HostileAnswer {
  readonly answer: (socket: Socket) => void
  /** What the attempt's error says; null where the answer counts by its status. */
  readonly told: RegExp | null
  /** What the note of an answer says whose body did not end as it should have. */
  readonly note?: RegExp
}

const OK = 'HTTP/1.1 200 OK\r\n'
const CHUNKED = `${OK}transfer-encoding: chunked\r\n\r\n`
const NOT_HTTP = /^protocol: the answer is not HTTP/
const TOO_LARGE = /^protocol: the headers of the answer are too large/
const TIMEOUT = /^timeout: no complete answer within/
const TOO_MANY = /^protocol: over 256 KiB of interim answers/
const LATE = /: no complete answer within/
const NO_LENGTH = /: protocol: the Content-Length of the answer is not a length$/

/** Sends this over and over, as fast as it is read. */
function flood(socket: Socket, bytes: string | Buffer): void {
  const more = () => {
    while (!socket.destroyed && socket.write(bytes));
  }
  socket.on('drain', more)
  more()
}

const says = (text: string | Buffer) => (socket: Socket) => void socket.write(text)
const endsAfter = (text: string | Buffer) => (socket: Socket) => void socket.end(text)
const resetsAfter = (text: string) => (socket: Socket) => void socket.write(text, () => socket.resetAndDestroy())
const goesOn = (start: string, bytes: string | Buffer) => (socket: Socket) => {
  socket.write(start)
  flood(socket, bytes)
}
const drips = (text: string) => (socket: Socket) => {
  let at = 0
  const drip = setInterval(() => socket.write(text[at++] ?? '.'), 20)
  socket.on('close', () => clearInterval(drip))
}

/** By what the server does, as the end of a sentence. */
export const HOSTILE_ANSWERS: Readonly<Record<string, HostileAnswer>> = {
  'never answers': { answer: () => {}, told: TIMEOUT },
  'stalls in the headers': { answer: says(`${OK}content-le`), told: TIMEOUT },
  'stalls in the body': { answer: says(`${OK}content-length: 9\r\n\r\nhalf`), told: null, note: LATE },
  'stalls in a chunk': { answer: says(`${CHUNKED}9\r\nhalf`), told: null, note: LATE },
  'stalls before the last chunk': { answer: says(`${CHUNKED}4\r\nhalf\r\n`), told: null, note: LATE },
  'drips headers': { answer: drips(`${OK}x: `), told: TIMEOUT },
  'drips a body': {
    answer: (socket) => {
      socket.write(`${OK}content-length: 100000\r\n\r\n`)
      drips('')(socket)
    },
    told: null,
    note: LATE,
  },
  'resets within the headers': { answer: resetsAfter(`${OK}x`), told: /^network: / },
  'resets within the body': {
    answer: resetsAfter(`${OK}content-length: 9\r\n\r\nhalf`),
    told: null,
    note: /: network: /,
  },
  'floods with 103': { answer: goesOn('', 'HTTP/1.1 103 Early\r\nlink: </a>\r\n\r\n'.repeat(500)), told: TOO_MANY },
  'floods with 102': { answer: goesOn('', 'HTTP/1.1 102 Wait\r\n\r\n'.repeat(1_000)), told: TOO_MANY },
  'floods with line breaks': { answer: goesOn('', '\r\n'.repeat(30_000)), told: TOO_MANY },
  'sends an endless reason': { answer: goesOn('HTTP/1.1 200 ', 'O'.repeat(65_536)), told: TOO_LARGE },
  'sends an endless header': { answer: goesOn(`${OK}x: `, 'y'.repeat(65_536)), told: TOO_LARGE },
  'sends endless headers': { answer: goesOn(OK, 'x: y\r\n'.repeat(500)), told: TOO_LARGE },
  'sends endless trailers': {
    answer: goesOn(`${CHUNKED}0\r\n`, 'x: y\r\n'.repeat(500)),
    told: null,
    note: /: protocol: the headers of the answer are too large/,
  },
  'sends an endless extension of a chunk': {
    answer: goesOn(`${CHUNKED}1;`, 'x'.repeat(65_536)),
    told: null,
    note: LATE,
  },
  'sends an endless body': { answer: goesOn(`${OK}\r\n`, Buffer.alloc(65_536, 'x')), told: null },
  'sends an endless body that it says is gzip': {
    answer: goesOn(`${OK}content-encoding: gzip\r\n\r\n`, Buffer.alloc(65_536)),
    told: null,
  },
  'answers with an absurd length': {
    answer: says(`${OK}content-length: ${'9'.repeat(30)}\r\n\r\nx`),
    told: null,
    note: NO_LENGTH,
  },
  'answers with a negative length': { answer: says(`${OK}content-length: -5\r\n\r\nx`), told: null, note: NO_LENGTH },
  'answers with two lengths': {
    answer: says(`${OK}content-length: 1\r\ncontent-length: 2\r\n\r\nxx`),
    told: null,
    note: /: protocol: the answer has several lengths that differ$/,
  },
  'answers with a length and chunks': {
    answer: says(`${OK}content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`),
    told: null,
  },
  'answers with less than it says': {
    answer: endsAfter(`${OK}content-length: 9\r\n\r\nhalf`),
    told: null,
    note: /: (network|protocol): /,
  },
  'answers with more than it says': { answer: endsAfter(`${OK}content-length: 2\r\n\r\nmore`), told: null },
  'answers with an absurd chunk': { answer: says(`${CHUNKED}${'f'.repeat(40)}\r\n`), told: null, note: /: protocol: / },
  'answers with a negative chunk': { answer: says(`${CHUNKED}-1\r\n`), told: null, note: /: protocol: / },
  'answers 204 with a body': { answer: says('HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello'), told: null },
  'answers 204 with chunks': {
    answer: says('HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n'),
    told: null,
  },
  'answers twice': { answer: says(`${OK}content-length: 0\r\n\r\n`.repeat(2)), told: null },
  'answers in HTTP/0.9': { answer: endsAfter('hello\n'), told: NOT_HTTP },
  'answers in HTTP/2': { answer: says(Buffer.from('000012040000000000000300000064', 'hex')), told: NOT_HTTP },
  'answers in HTTP/9.9': { answer: says('HTTP/9.9 200 OK\r\n\r\n'), told: NOT_HTTP },
  'answers in TLS': { answer: says(Buffer.from([0x15, 0x03, 0x01, 0, 2, 2, 80])), told: NOT_HTTP },
  'answers in SSH': { answer: says('SSH-2.0-OpenSSH_9.2\r\n'), told: NOT_HTTP },
  'answers 000': { answer: says('HTTP/1.1 000 X\r\ncontent-length: 0\r\n\r\n'), told: NOT_HTTP },
  'answers 199': { answer: says('HTTP/1.1 199 X\r\n\r\n'), told: TIMEOUT },
  'answers 1000': { answer: says('HTTP/1.1 1000 X\r\n\r\n'), told: NOT_HTTP },
  'answers 101 without a word of why': {
    answer: says('HTTP/1.1 101 X\r\n\r\n'),
    told: /^protocol: the answer is http 101/,
  },
  'answers with a NUL in a header': { answer: says(`${OK}x: a\0b\r\n\r\n`), told: NOT_HTTP },
  'answers with bare line feeds': { answer: says('HTTP/1.1 200 OK\ncontent-length: 0\n\n'), told: null },
}
