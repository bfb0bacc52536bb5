import { type Alert, lowSpace, megabytes, spaceRecovered } from '../alerts/relay-event.ts'
import type { Watch } from '../alerts/watches.ts'
import { RelayError } from '../domain/errors.ts'

/** How often the file system is asked: a call of the system that reads no disk. Never for a request. */
const EVERY_MS = 1_000

/** What must be free beyond the reserve before it is over: what is freed is not to be taken away again at once. */
const MARGIN = 0.05

export interface DiskReserveOptions {
  /** What may still be written on the file system of the outbox. */
  readonly freeBytes: () => Promise<number>
  readonly log: DiskReserveLog
}

export interface DiskReserveLog {
  /** From now on no events are taken. */
  refusing(freeBytes: number, reserveBytes: number): void
  /** And now they are again. */
  taking(freeBytes: number): void
}

/**
 * Keeps some of the disk for what must go on when it is nearly full: what became of deliveries, and removing what need not be
 * kept, for a full disk fails that too. While there is less, nothing new is taken.
 */
export class DiskReserve {
  readonly #options: DiskReserveOptions
  #problem: string | null = null

  constructor(options: DiskReserveOptions) {
    this.#options = options
  }

  /** Why nothing new is taken, in plain words; null where it is. */
  get problem(): string | null {
    return this.#problem
  }

  /** Looks at the disk once. Returns what is free. */
  async look(reserveBytes: number): Promise<number> {
    const { freeBytes, log } = this.#options
    const free = await freeBytes()
    const wasLow = this.#problem !== null
    const isLow = free < reserveBytes * (wasLow ? 1 + MARGIN : 1)
    const nearly = free < reserveBytes ? '' : `; events are taken again once ${MARGIN * 100} % more than that is free`
    this.#problem = isLow
      ? `${megabytes(free)} left on the file system of the outbox, and outbox.reserve is ${megabytes(reserveBytes)}${nearly}`
      : null
    if (isLow && !wasLow) log.refusing(free, reserveBytes)
    if (wasLow && !isLow) log.taking(free)
    return free
  }

  /** Looks every second. Raises an alert each time that nothing more is taken, and reports while something is. */
  watch(reserveBytes: number, raise: (alert: Alert) => void, recovered: (alert: Alert) => void): Watch {
    let told = false
    return {
      name: 'disk reserve',
      everyMs: EVERY_MS,
      check: async () => {
        const free = await this.look(reserveBytes)
        const isLow = this.#problem !== null
        if (isLow && !told) raise(lowSpace(free, reserveBytes))
        if (!isLow) recovered(spaceRecovered(free))
        told = isLow
      },
    }
  }

  /** What takes something new, but rejects with `outbox_unavailable` while there is no room for it. */
  guarding<Args extends readonly unknown[], T>(take: (...args: Args) => Promise<T>): (...args: Args) => Promise<T> {
    return (...args) =>
      this.#problem === null ? take(...args) : Promise.reject(new RelayError('outbox_unavailable', this.#problem))
  }
}
