import type { Socket } from 'node:net'
import { ToldError } from '../domain/network-error.ts'
import { readResponseHead } from './response-head.ts'

/** What stands between a connection and the parser of its responses. */
export interface HeadFilter {
  /** To be called before a request is written: the next bytes that arrive are the head of its response. */
  expect(): void
  /** To be called when a response has ended: what arrives before the next request belongs to none. */
  ended(): void
  /** Why the body of the last response cannot be read; null where it can. */
  readonly problem: Error | null
}

export interface HeadLimit {
  /** Of one head, in bytes. Default: 64 KiB. */
  readonly maxHeadBytes?: number
  /** The configuration key of the limit, for the error. */
  readonly maxHeadKey?: string
}

export const DEFAULT_MAX_HEAD_BYTES = 64 * 1024
/** Bytes of interim responses and line ends before a final response. */
const MAX_SKIPPED_BYTES = 256 * 1024
const EMPTY = Buffer.alloc(0)

/**
 * Reads the head of each response before the parser does. Drops interim responses (1xx): undici fails on a 100 that it has
 * not asked for, and node:http on any 1xx before the answer to a CONNECT. Rewrites what the parser would reject, and bounds the
 * size. Only bytes that begin a response are read, so a body may contain any text.
 *
 * It overrides `socket.push`, with which Node hands over what it has received, TLS or not. A stream around the socket
 * would cost a copy of each chunk and would have to imitate everything that undici uses of a socket.
 *
 * `onStrayBytes`: bytes have arrived that belong to no response, or to one that had ended before. They end the connection,
 * and a request that was written meanwhile fails.
 */
export function filterHeads(socket: Socket, limit: HeadLimit = {}, onStrayBytes = () => {}): HeadFilter {
  const { maxHeadBytes = DEFAULT_MAX_HEAD_BYTES, maxHeadKey } = limit
  const push = socket.push.bind(socket)
  /** The start of a head whose end is not there yet. */
  const held = new HeldBytes()
  let isExpected = false
  let isIdle = false
  let isUsed = false
  let problem: Error | null = null
  let skipped = 0
  let lastInterim: number | null = null

  function fail(error: string): boolean {
    isExpected = false
    held.take()
    socket.destroy(new ToldError(error))
    return false
  }

  function received(chunk: Buffer): boolean {
    const searched = held.length
    const bytes = searched === 0 ? chunk : held.add(chunk)
    for (let at = 0; ; ) {
      for (; isLineEnd(bytes[at]); at++) skipped++
      if (skipped > MAX_SKIPPED_BYTES) {
        return fail(
          `protocol: over ${MAX_SKIPPED_BYTES / 1024} KiB of interim answers (1xx) or line breaks before the answer`,
        )
      }
      const rest = bytes.subarray(at)
      const head = readResponseHead(rest, at === 0 ? searched : 0)
      const size = head.kind === 'incomplete' ? rest.length : head.kind === 'foreign' ? 0 : head.end
      if (size > maxHeadBytes) {
        const advice = maxHeadKey === undefined ? '' : `; ${maxHeadKey} sets the limit`
        return fail(`protocol: the headers of the answer are too large, over ${maxHeadBytes / 1024} KiB${advice}`)
      }
      switch (head.kind) {
        case 'incomplete':
          if (searched > 0 && at === 0) return true
          held.take()
          held.add(rest)
          return true
        case 'interim':
          at += head.end
          skipped += head.end
          lastInterim = head.status
          break
        case 'foreign':
          isExpected = false
          held.take()
          if (isUsed) onStrayBytes()
          return push(rest)
        case 'final':
          if (head.status === 101) return fail('protocol: the answer is http 101, a protocol that was not asked for')
          isExpected = false
          held.take()
          if (head.problem !== null) problem = new ToldError(head.problem)
          if (head.rewritten === null) return push(rest)
          push(head.rewritten)
          return rest.length === head.end || push(rest.subarray(head.end))
      }
    }
  }

  function closed(): boolean {
    if (held.length > 0) return fail('network: the connection ended within the headers of the answer')
    if (lastInterim !== null) return fail(`network: the connection ended after http ${lastInterim}, before the answer`)
    return push(null)
  }

  socket.push = (chunk: Buffer | null) => {
    if (isExpected) return chunk === null ? closed() : received(chunk)
    if (isIdle && chunk !== null && !chunk.every(isLineEnd)) onStrayBytes()
    return push(chunk)
  }

  return {
    expect() {
      isExpected = true
      isIdle = false
      problem = null
      skipped = 0
      lastInterim = null
    },
    ended() {
      isIdle = true
      isUsed = true
    },
    get problem() {
      return problem
    },
  }
}

/** Some servers send one after a body, which parsers skip. */
function isLineEnd(byte: number | undefined): boolean {
  return byte === 10 || byte === 13
}

/** Bytes in a row, in a buffer that doubles: a head that comes byte by byte is not copied with each of them. */
class HeldBytes {
  #buffer = EMPTY
  length = 0

  /** Appends bytes and returns all of them, valid until the next `add`. */
  add(bytes: Buffer): Buffer {
    const length = this.length + bytes.length
    if (length > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(length, 2 * this.#buffer.length))
      this.#buffer.copy(larger, 0, 0, this.length)
      this.#buffer = larger
    }
    bytes.copy(this.#buffer, this.length)
    this.length = length
    return this.#buffer.subarray(0, length)
  }

  /** Forgets the bytes; what `add` returned stays valid. */
  take(): void {
    this.#buffer = EMPTY
    this.length = 0
  }
}
