/** Levels of nesting that are read of a JSON text. SQLite's JSON functions, which the operators' queries use, have the same bound. */
export const MOST_JSON_LEVELS = 1_000

const [QUOTE, BACKSLASH] = [0x22, 0x5c]
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d]

/**
 * Parses a JSON text in UTF-8, UTF-16 or UTF-32, with or without a byte order mark. Objects and lists below
 * `MOST_JSON_LEVELS` are read as empty, and not checked further than their brackets. Throws `SyntaxError`.
 *
 * `JSON.parse` itself takes any depth, but 4 MB of brackets cost it 700 ms, instead of 16 here, and the value that it returns
 * cannot be serialised or walked recursively.
 */
export function parseJson(bytes: Uint8Array): unknown {
  const text = upTo(MOST_JSON_LEVELS, asUtf8(bytes))
  return JSON.parse(Buffer.from(text.buffer, text.byteOffset, text.byteLength).toString('utf8'))
}

/**
 * Returns a JSON text as UTF-8 without a byte order mark: the same array where it is that already. A JSON text starts with two
 * ASCII characters, so the zeros among its first four bytes show the encoding where no byte order mark does.
 */
export function asUtf8(bytes: Uint8Array): Uint8Array {
  const [a, b, c, d] = bytes
  if (a === 0xef && b === 0xbb && c === 0xbf) return withoutMarks(bytes)
  if (a === 0xff && b === 0xfe) return c === 0 && d === 0 ? fromUtf32(bytes, 'little') : fromUtf16(bytes, 'little')
  if (a === 0xfe && b === 0xff) return fromUtf16(bytes, 'big')
  if (a === 0 && b === 0) return fromUtf32(bytes, 'big')
  if (a === 0) return fromUtf16(bytes, 'big')
  if (b === 0) return c === 0 && d === 0 ? fromUtf32(bytes, 'little') : fromUtf16(bytes, 'little')
  return bytes
}

/** Whether a JSON text in UTF-8 is nested deeper than this. Takes 2 ms a megabyte. */
export function isDeeperThan(levels: number, json: Uint8Array): boolean {
  // Each level has two brackets. A text that lacks the closing ones is not JSON.
  if (json.length <= 2 * levels) return false
  let depth = 0
  for (let at = 0; at < json.length; at++) {
    const byte = json[at]!
    if (byte === QUOTE) at = endOfString(json, at)
    else if (byte === OPEN_LIST || byte === OPEN_OBJECT) {
      if (++depth > levels) return true
    } else if (byte === CLOSE_LIST || byte === CLOSE_OBJECT) depth--
  }
  return false
}

/** The text without what is inside of the objects and lists at the lowest of these levels. */
function upTo(levels: number, json: Uint8Array): Uint8Array {
  if (!isDeeperThan(levels, json)) return json
  const kept = Buffer.alloc(json.length)
  let length = 0
  let depth = 0
  for (let at = 0; at < json.length; at++) {
    const byte = json[at]!
    if (byte === CLOSE_LIST || byte === CLOSE_OBJECT) depth--
    if (depth < levels) kept[length++] = byte
    if (byte === OPEN_LIST || byte === OPEN_OBJECT) depth++
    if (byte !== QUOTE) continue
    const end = Math.min(endOfString(json, at), json.length - 1)
    if (depth < levels) {
      kept.set(json.subarray(at + 1, end + 1), length)
      length += end - at
    }
    at = end
  }
  return kept.subarray(0, length)
}

/** The place of the quote that ends the string which starts here, or one past the end of the text. */
function endOfString(json: Uint8Array, start: number): number {
  let at = start + 1
  while (at < json.length && json[at] !== QUOTE) at += json[at] === BACKSLASH ? 2 : 1
  return at
}

type ByteOrder = 'little' | 'big'

function fromUtf16(bytes: Uint8Array, order: ByteOrder): Uint8Array {
  if (bytes.length % 2 !== 0) return bytes
  const units = Buffer.from(bytes)
  if (order === 'big') units.swap16()
  return encoded(units.toString('utf16le'))
}

function fromUtf32(bytes: Uint8Array, order: ByteOrder): Uint8Array {
  if (bytes.length % 4 !== 0) return bytes
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const pieces: string[] = []
  for (let at = 0; at < bytes.length; at += 4) {
    const code = view.getUint32(at, order === 'little')
    pieces.push(code > 0x10ffff ? '\ufffd' : String.fromCodePoint(code))
  }
  return encoded(pieces.join(''))
}

/** Some senders put more than one byte order mark before a text. */
function withoutMarks(bytes: Uint8Array): Uint8Array {
  let at = 0
  while (bytes[at] === 0xef && bytes[at + 1] === 0xbb && bytes[at + 2] === 0xbf) at += 3
  return bytes.subarray(at)
}

function encoded(text: string): Uint8Array {
  return withoutMarks(Buffer.from(text))
}
