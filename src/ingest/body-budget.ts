import type { ServerResponse } from 'node:http'

/**
 * How many bytes of bodies strangers may have under way at once. Whether a body is genuine is only known when it is
 * there whole; until then, anybody can have any number of them sent and kept in memory.
 */
const STRANGERS_BYTES = 128 * 1024 * 1024

/** Bounds what is read for addresses that have not yet sent anything genuine. */
export class BodyBudget {
  #bytes = 0

  /** Makes room for a body until its request is answered or gone. False where there is none. */
  take(bytes: number, response: ServerResponse): boolean {
    if (this.#bytes + bytes > STRANGERS_BYTES) return false
    this.#bytes += bytes
    response.once('close', () => {
      this.#bytes -= bytes
    })
    return true
  }
}
