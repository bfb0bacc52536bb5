import { brotliDecompressSync, constants, gunzipSync, inflateRawSync, inflateSync } from 'node:zlib'
import { textOfHead } from './utf8.ts'

/** Most bytes that the beginning of a compressed body may become; the rest of a larger one is not decoded. */
const MOST_DECODED = 64 * 1024

/** What was received of an answer's body. */
export interface AnswerBody {
  /** The beginning. */
  readonly bytes: Uint8Array
  /** Whether there was more. */
  readonly isCut: boolean
  readonly contentType: string | undefined
  readonly contentEncoding: string | undefined
}

/**
 * Returns the beginning of an answer's body as text of at most `limit` bytes: decoded, whatever its compression and character set, or
 * described if it is not text. Never throws.
 */
export function answerText({ bytes, isCut, contentType, contentEncoding }: AnswerBody, limit: number): string {
  const encoding = contentEncoding?.trim().toLowerCase() ?? ''
  if (encoding === '' || encoding === 'identity') return shown(bytes, isCut, contentType)
  const decoded = decode(bytes, encoding)
  if (decoded === undefined) {
    // Some servers announce a compression and send plain text.
    return isText(bytes, isCut) ? shown(bytes, isCut, contentType) : described(bytes, isCut, `of ${encoding}`)
  }
  return shown(decoded.subarray(0, limit), isCut || decoded.length > limit, contentType)
}

/** Undefined where the encoding is not known, or the bytes are not of it. */
function decode(bytes: Uint8Array, encoding: string): Uint8Array | undefined {
  // What is cut off ends in the middle of the compressed data.
  const zlib = { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: MOST_DECODED }
  const brotli = { finishFlush: constants.BROTLI_OPERATION_FLUSH, maxOutputLength: MOST_DECODED }
  const decoders: Readonly<Record<string, readonly (() => Uint8Array)[]>> = {
    gzip: [() => gunzipSync(bytes, zlib)],
    'x-gzip': [() => gunzipSync(bytes, zlib)],
    // Servers send deflate with and without the header of zlib.
    deflate: [() => inflateSync(bytes, zlib), () => inflateRawSync(bytes, zlib)],
    br: [() => brotliDecompressSync(bytes, brotli)],
  }
  for (const attempt of decoders[encoding] ?? []) {
    try {
      return attempt()
    } catch {}
  }
  return undefined
}

function shown(bytes: Uint8Array, isCut: boolean, contentType: string | undefined): string {
  const [type = '', ...parameters] = (contentType ?? '').toLowerCase().split(';')
  if (isBinary(bytes)) return described(bytes, isCut, `of ${type.trim() || 'binary data'}`)
  const charset = parameters.map((each) => /^\s*charset\s*=\s*"?([\w.:-]+)/.exec(each)?.[1]).find(Boolean)
  if (charset === undefined || /^utf-?8$/.test(charset)) return textOfHead(bytes, isCut)
  try {
    return new TextDecoder(charset).decode(bytes, { stream: isCut }).replaceAll('\0', '\ufffd')
  } catch {
    return textOfHead(bytes, isCut)
  }
}

function isText(bytes: Uint8Array, isCut: boolean): boolean {
  try {
    return !new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: isCut }).includes('\0')
  } catch {
    return false
  }
}

/** Text has no NUL but in UTF-16 and UTF-32, which have one in every second byte or more. */
function isBinary(bytes: Uint8Array): boolean {
  const zeros = bytes.reduce((count, byte) => (byte === 0 ? count + 1 : count), 0)
  return zeros > 0 && zeros < bytes.length / 3
}

function described(bytes: Uint8Array, isCut: boolean, what: string): string {
  return `(${isCut ? 'more than ' : ''}${bytes.length.toLocaleString('en')} bytes ${what})`
}
