/** The start of a response, as far as it is there. `end` is a byte offset into what was read. */
export type ResponseHead =
  /** More bytes are needed. */
  | { readonly kind: 'incomplete' }
  /** Not HTTP. */
  | { readonly kind: 'foreign' }
  /** A 1xx other than 101: another head follows. */
  | { readonly kind: 'interim'; readonly status: number; readonly end: number }
  | {
      readonly kind: 'final'
      readonly status: number
      readonly end: number
      /** What a strict parser has to be given instead of the head. Null: the head as it is. */
      readonly rewritten: Buffer | null
      /** Why the body cannot be read; the status and the headers are valid nevertheless. */
      readonly problem: string | null
    }

interface Header {
  readonly name: string
  /** The name in lower case. */
  readonly key: string
  readonly value: string
}

interface Framing {
  /** The header that says where the body ends, where there is one. */
  readonly header: string | null
  readonly problem: string | null
}

const INCOMPLETE = { kind: 'incomplete' } as const
const FOREIGN = { kind: 'foreign' } as const

const PREFIX = 'HTTP/'
/** A head without anything that a parser or a server could read in another way. */
const PLAIN =
  /^HTTP\/1\.[01] [2-9]\d\d(?: [\t\x20-\x7e\x80-\xff]*)?\r\n(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n)*\r\n$/
const FRAMING_HEADER = /\r\n(?:content-length|transfer-encoding):/gi
const PLAIN_FRAMING = /\r\n(?:content-length:[\t ]*\d{1,15}|transfer-encoding:[\t ]*chunked)[\t ]*\r\n/i
const STATUS_LINE = /^HTTP\/(1\.[01]|2(?:\.0)?)[\t ]+([1-9]\d\d)(?!\d)[\t ]*(.*)$/i
const HEADER = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+)[\t ]*:[\t ]*(.*)$/
// biome-ignore lint/suspicious/noControlCharactersInRegex: a strict parser rejects them
const CONTROL = /[\x01-\x08\x0a-\x1f\x7f]/g
/** 15 digits are a petabyte, and still exact as a number. */
const LENGTH = /^\d{1,15}$/
/** Responses without a body, whatever their headers say. */
const BODILESS = new Set([204, 304])
/** Replaced where a head is rewritten. */
const CONNECTION_HEADERS = new Set(['connection', 'keep-alive', 'content-length', 'transfer-encoding'])

/**
 * Reads the head at the start of `bytes`, about as leniently as curl: it accepts bare line feeds, folded lines, lines
 * that are not headers, blanks before a colon, control characters, repeated lengths, and a length beside chunks. Such a head is
 * rewritten for a strict parser, with `Connection: close`: where client and server may disagree about the end of a
 * response, the next one on that connection cannot be trusted. So is a 204 or 304 that announces a body, for the server may send one.
 *
 * `searched`: bytes that were there when the head was incomplete, which are not searched for its end again.
 */
export function readResponseHead(bytes: Buffer, searched = 0): ResponseHead {
  if (!PREFIX.startsWith(bytes.toString('latin1', 0, PREFIX.length).toUpperCase())) return FOREIGN
  const end = endOfHead(bytes, Math.max(0, searched - 2))
  if (end === undefined) return INCOMPLETE

  const text = bytes.toString('latin1', 0, end)
  if (isPlain(text)) return { kind: 'final', status: statusOf(text), end, rewritten: null, problem: null }
  const [first, ...lines] = text.trimEnd().split(/\r?\n/)
  const [, version, digits, reason] = STATUS_LINE.exec(first!) ?? []
  // curl does not accept a NUL either.
  if (digits === undefined || text.includes('\0')) return FOREIGN
  const status = Number(digits)
  if (status < 200 && status !== 101) return { kind: 'interim', status, end }

  const headers = readHeaders(lines)
  const { header, problem } = framingOf(status, headers)
  const rewritten = [
    `HTTP/${version === '1.0' ? '1.0' : '1.1'} ${status} ${reason!.replace(CONTROL, ' ')}`,
    ...headers.flatMap(({ name, key, value }) => (CONNECTION_HEADERS.has(key) ? [] : [`${name}: ${value}`])),
    ...(header === null ? [] : [header]),
    'connection: close\r\n\r\n',
  ]
  return { kind: 'final', status, end, rewritten: Buffer.from(rewritten.join('\r\n'), 'latin1'), problem }
}

function isPlain(text: string): boolean {
  if (!PLAIN.test(text)) return false
  const framing = text.match(FRAMING_HEADER)
  const status = statusOf(text)
  // Without a length the parser would read a 205 to the end of the connection.
  if (framing === null) return status !== 205
  return framing.length === 1 && !BODILESS.has(status) && PLAIN_FRAMING.test(text)
}

/** Of a plain head. */
function statusOf(text: string): number {
  return Number(text.slice(9, 12))
}

/** The offset after the empty line that ends a head; undefined while it is not there. */
function endOfHead(bytes: Buffer, from: number): number | undefined {
  const crlf = bytes.indexOf('\n\r\n', from, 'latin1')
  const lf = (crlf === -1 ? bytes : bytes.subarray(0, crlf)).indexOf('\n\n', from, 'latin1')
  if (lf !== -1) return lf + 2
  return crlf === -1 ? undefined : crlf + 3
}

function readHeaders(lines: readonly string[]): Header[] {
  const headers: Header[] = []
  for (const line of lines.map((line) => line.replace(CONTROL, ' '))) {
    const [, name, value] = HEADER.exec(line) ?? []
    if (name !== undefined) headers.push({ name, key: name.toLowerCase(), value: value!.trimEnd() })
    else if (/^[\t ]/.test(line) && headers.length > 0) {
      // A folded line continues the one before it.
      const folded = headers.pop()!
      headers.push({ ...folded, value: `${folded.value} ${line.trim()}` })
    }
  }
  return headers
}

/** How a response says where its body ends. */
function framingOf(status: number, headers: readonly Header[]): Framing {
  if (BODILESS.has(status)) return { header: null, problem: null }
  const valuesOf = (wanted: string) =>
    headers.flatMap(({ key, value }) => (key === wanted ? value.split(',').map((each) => each.trim()) : []))
  const codings = new Set(valuesOf('transfer-encoding'))
  if (codings.size > 0) return { header: `transfer-encoding: ${[...codings].join(', ')}`, problem: null }
  const lengths = valuesOf('content-length')
  if (lengths.some((each) => !LENGTH.test(each))) {
    return { header: null, problem: 'protocol: the Content-Length of the answer is not a length' }
  }
  const [length, ...others] = new Set(lengths.map(Number))
  if (others.length > 0) return { header: null, problem: 'protocol: the answer has several lengths that differ' }
  if (length === undefined) return { header: status === 205 ? 'content-length: 0' : null, problem: null }
  return { header: `content-length: ${length}`, problem: null }
}
