import { createHash } from 'node:crypto'

/** Numbers in [0, 1) of a seed: the same ones each time (mulberry32). */
export function numbersOf(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

interface Entry {
  readonly id: number
  readonly at: number
  /** The run of the relay that waits for it; 0: none does, it outlives them all. */
  readonly run: number
  readonly act: () => void
}

const { setTimeout: realSetTimeout, clearTimeout: realClearTimeout, setImmediate: realSetImmediate } = globalThis

/**
 * Time, chance, and all that is still to happen. One thing happens at a time, and what follows from it without waiting
 * follows before the next: so a seed decides everything.
 */
export class World {
  readonly random: () => number
  readonly trace: string[] = []
  /** Epoch milliseconds. */
  now = Date.UTC(2026, 0, 1)
  /** The number of the run of the relay, from 1; what an ended one was waiting for never happens. */
  run = 1
  #entries: Entry[] = []
  #ids = 0

  constructor(seed: number) {
    this.random = numbersOf(seed)
  }

  chance(share: number): boolean {
    return this.random() < share
  }

  /** A whole number between the two, both included. */
  between(least: number, most: number): number {
    return least + Math.floor(this.random() * (most - least + 1))
  }

  pick<T>(of: readonly T[]): T {
    return of[this.between(0, of.length - 1)]!
  }

  note(line: string): void {
    this.trace.push(`${(this.now - Date.UTC(2026, 0, 1)).toFixed(3)} ${line}`)
  }

  /** Has something happen after so many milliseconds. Returns what `cancel` takes. */
  after(ms: number, act: () => void, run = 0): number {
    this.#ids += 1
    this.#entries.push({ id: this.#ids, at: this.now + Math.max(0, ms), run, act })
    return this.#ids
  }

  cancel(id: number): void {
    this.#entries = this.#entries.filter((entry) => entry.id !== id)
  }

  /** The relay is gone: nothing that it waited for happens any more. */
  endRun(): void {
    this.#entries = this.#entries.filter(({ run }) => run === 0)
    this.run += 1
  }

  /** Lets the next thing happen, and what follows from it. False where nothing is left. */
  async step(): Promise<boolean> {
    let next: Entry | undefined
    for (const entry of this.#entries) if (next === undefined || entry.at < next.at) next = entry
    if (next === undefined) return false
    this.#entries.splice(this.#entries.indexOf(next), 1)
    this.now = Math.max(this.now, next.at)
    next.act()
    await settled()
    return true
  }

  /** All of what has happened, in short. */
  digest(): string {
    return createHash('sha256').update(this.trace.join('\n')).digest('hex').slice(0, 16)
  }

  /** Until `release`, all timers of the process are of this world. */
  seize(): { release(): void } {
    const set = (act: () => void, ms = 0) => {
      const id = this.after(ms, act, this.run)
      return { id, unref: () => {}, ref: () => {} }
    }
    globalThis.setTimeout = set as unknown as typeof setTimeout
    globalThis.clearTimeout = ((timer?: { id: number }) => timer && this.cancel(timer.id)) as typeof clearTimeout
    return {
      release() {
        globalThis.setTimeout = realSetTimeout
        globalThis.clearTimeout = realClearTimeout
      },
    }
  }
}

/** Resolves when every promise that could be settled is, and what that has put off to the next turns has been done. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => realSetImmediate(resolve))
}
