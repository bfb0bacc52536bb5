import type { IncomingMessage } from 'node:http'
import { RelayError } from '../domain/errors.ts'
import { stopReading } from './connections.ts'
import { SMALL_BODY_BYTES, type UploadBudget } from './upload-budget.ts'

const LEAST_BLOCK_BYTES = 1024

/**
 * A chunk takes some 4 µs, whatever its size. Large bodies in chunks of one byte, as fast as a network brings them, would
 * keep all other clients waiting for seconds. A body may have so many chunks, and one more for each so many bytes: an event
 * of usual size may come byte by byte, and this many chunks take no more than 40 ms.
 */
const ANY_CHUNKS = 8_192
const LEAST_CHUNK_BYTES = 32

export interface BodyOptions {
  readonly limitBytes: number
  readonly budget: UploadBudget
  readonly network: string
  readonly trusted: boolean
}

/**
 * Reads a request's body and charges it to the budget for as long as it is incomplete. Rejects with `body_too_large`,
 * `request_invalid` (it broke off) or `overloaded` (evicted to make room).
 */
export function readBody(
  request: IncomingMessage,
  { limitBytes, budget, network, trusted }: BodyOptions,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const announced = Number(request.headers['content-length'])
    if (announced > limitBytes) return reject(tooLarge())
    if (request.destroyed) return reject(brokenOff())
    const parts = new Parts()
    let chunks = 0
    const upload = budget.begin(network, trusted, () => settle(evicted()))

    function settle(error?: Error): void {
      upload.end()
      request.off('data', onData).off('end', onEnd).off('error', onBroken).off('close', onBroken)
      // Once nothing listens, an error of the stream would end the process.
      request.on('error', () => {})
      if (error === undefined) resolve(parts.whole())
      else reject(error)
      parts.clear()
    }

    function onData(chunk: Buffer): void {
      chunks += 1
      if (parts.length + chunk.length > limitBytes) settle(tooLarge())
      else if (chunks <= ANY_CHUNKS + parts.length / LEAST_CHUNK_BYTES) {
        upload.charge(chunk.length, parts.push(chunk))
      } else {
        stopReading(request.socket)
        settle(tooManyChunks())
      }
    }

    function onEnd(): void {
      settle()
    }

    function onBroken(): void {
      settle(brokenOff())
    }

    request.on('data', onData).on('end', onEnd).on('error', onBroken).on('close', onBroken)
  })
}

/**
 * A body as far as it has come, in blocks: a chunk of one byte takes some hundred bytes of memory, and may keep all that was
 * read from the socket at once. A block is as large as what came before it, within limits, so at most half of it all is unused.
 */
class Parts {
  #full: Buffer[] = []
  #block = Buffer.alloc(0)
  #used = 0
  length = 0

  /** Takes a chunk; returns how many bytes of memory were allocated for it. */
  push(chunk: Buffer): number {
    const fitting = Math.min(chunk.length, this.#block.length - this.#used)
    chunk.copy(this.#block, this.#used, 0, fitting)
    this.#used += fitting
    this.length += fitting
    const rest = chunk.length - fitting
    if (rest === 0) return 0
    if (this.#used > 0) this.#full.push(this.#block)
    const usual = Math.min(SMALL_BODY_BYTES, Math.max(LEAST_BLOCK_BYTES, this.length))
    // A body in one piece, as most are, takes no more than its size.
    this.#block = Buffer.allocUnsafeSlow(this.length === 0 ? rest : Math.max(rest, usual))
    chunk.copy(this.#block, 0, fitting)
    this.#used = rest
    this.length += rest
    return this.#block.length
  }

  whole(): Buffer {
    if (this.#full.length === 0 && this.#used === this.#block.length) return this.#block
    return Buffer.concat([...this.#full, this.#block.subarray(0, this.#used)], this.length)
  }

  clear(): void {
    this.#full = []
    this.#block = Buffer.alloc(0)
  }
}

function tooLarge(): RelayError {
  return new RelayError('body_too_large', 'the body is over the limit')
}

function brokenOff(): RelayError {
  return new RelayError('request_invalid', 'the body broke off')
}

function tooManyChunks(): RelayError {
  return new RelayError('request_invalid', 'the body comes in too many small chunks')
}

function evicted(): RelayError {
  return new RelayError('overloaded', 'too many large requests are under way; send it again later')
}
