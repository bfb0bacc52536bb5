import { textOfTail } from './utf8.ts'

/** Keeps the last bytes of a stream in one fixed piece of memory, however much flows through. */
export class TailBuffer {
  readonly #bytes: Buffer
  #length = 0
  #cut = false

  constructor(limit: number) {
    this.#bytes = Buffer.alloc(limit)
  }

  push(chunk: Uint8Array): void {
    const limit = this.#bytes.length
    const last = chunk.subarray(Math.max(0, chunk.length - limit))
    const overflow = this.#length + chunk.length - limit
    if (overflow > 0) {
      const dropped = Math.min(overflow, this.#length)
      this.#bytes.copyWithin(0, dropped, this.#length)
      this.#length -= dropped
      this.#cut = true
    }
    this.#bytes.set(last, this.#length)
    this.#length += last.length
  }

  text(): string {
    return textOfTail(this.#bytes.subarray(0, this.#length), this.#cut)
  }
}
