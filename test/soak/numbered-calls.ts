import { sampleEvent } from '../../src/domain/sample-event.ts'

/** Of so many calls, one is billed, which is what goes to the hook. */
const BILLED_EVERY = 200
/** As large as what Ultravox sends. */
const BODY_BYTES = 3_300

/** An id that tells the number of its call, and yet falls anywhere in an index, as real ones do. */
export function callIdOf(n: number): string {
  const scattered = (Math.imul(n, 0x9e3779b1) >>> 0).toString(16).padStart(8, '0')
  return `${scattered}-0000-4000-8000-${n.toString(16).padStart(12, '0')}`
}

export function numberOf(callId: string): number {
  return Number.parseInt(callId.slice(-12), 16)
}

export function isBilled(n: number): boolean {
  return n % BILLED_EVERY === 0
}

const MARK = '{{call}}'
const [ended, billed] = ['call.ended', 'call.billed'].map((name) => {
  const { event, call } = sampleEvent(name, MARK, Date.now())
  const missing = BODY_BYTES - JSON.stringify({ event, call }).length
  return JSON.stringify({ event, call: { ...call, metadata: { padding: 'x'.repeat(missing) } } })
}) as [string, string]

/** The one webhook of a call. */
export function bodyOfCall(n: number): Buffer {
  return Buffer.from((isBilled(n) ? billed : ended).replaceAll(MARK, callIdOf(n)))
}

/** How often each numbered call has arrived somewhere. */
export class Arrivals {
  #times = new Uint8Array(1 << 16)
  #distinct = 0
  #repeated = 0

  note(n: number): void {
    while (n >= this.#times.length) {
      const larger = new Uint8Array(this.#times.length * 2)
      larger.set(this.#times)
      this.#times = larger
    }
    const times = this.#times[n]!
    if (times === 0) this.#distinct++
    else this.#repeated++
    this.#times[n] = Math.min(255, times + 1)
  }

  has(n: number): boolean {
    return n < this.#times.length && this.#times[n]! > 0
  }

  get distinct(): number {
    return this.#distinct
  }

  get repeated(): number {
    return this.#repeated
  }
}
