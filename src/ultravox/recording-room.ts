const MB = 1024 ** 2
/** What is claimed at a time of a recording whose length is not announced, or is longer than it was. */
const STEP_BYTES = 8 * MB

/** Room on the disk for the recordings on their way: each is counted with what the others are still to write. */
export class RecordingRoom {
  readonly #assertRoom: (bytes: number) => Promise<void>
  /** Of all that are on their way. */
  #bytesToCome = 0

  /** `assertRoom` throws where there is no room for so many bytes more. */
  constructor(assertRoom: (bytes: number) => Promise<void>) {
    this.#assertRoom = assertRoom
  }

  /** Passes a recording on as long as there is room for it; throws as `assertRoom` does. `announced`: 0 where it is not. */
  async *fitting(announced: number, chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
    let toCome = 0
    const claim = (bytes: number) => {
      toCome += bytes
      this.#bytesToCome += bytes
    }
    try {
      claim(announced)
      await this.#assertRoom(this.#bytesToCome)
      for await (const chunk of chunks) {
        if (chunk.length > toCome) {
          claim(Math.max(STEP_BYTES, chunk.length))
          await this.#assertRoom(this.#bytesToCome)
        }
        claim(-chunk.length)
        yield chunk
      }
    } finally {
      claim(-toCome)
    }
  }
}
