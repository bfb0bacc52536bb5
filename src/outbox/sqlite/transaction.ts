import { setTimeout as sleep } from 'node:timers/promises'
import type Database from 'better-sqlite3'
import { type Stopwatch, systemStopwatch } from '../../domain/clock.ts'
import { RelayError } from '../../domain/errors.ts'
import { fromFault, toFault } from './faults.ts'

/** How long a write transaction of the daemon waits for another process (a command, an operator's sqlite3) to finish its own. */
const BUSY_MS = 5_000

/**
 * How long SQLite itself waits before the wait begins again. Its busy handler sleeps longer from time to time, up to 100 ms, and
 * misses the short moments in which a command that works in steps leaves the database alone.
 */
export const BUSY_SLICE_MS = 4

/**
 * Begins a write transaction of the daemon, on a connection whose `busy_timeout` is `BUSY_SLICE_MS`. Throws `SQLITE_BUSY`
 * after `BUSY_MS`.
 */
export function beginWrite(database: Database.Database): void {
  for (const startedAt = systemStopwatch(); ; ) {
    try {
      database.exec('begin immediate')
      return
    } catch (error) {
      const isBusy = (error as { code?: string }).code === 'SQLITE_BUSY'
      if (!isBusy || systemStopwatch() - startedAt >= BUSY_MS) throw error
    }
  }
}

/** A step of a long action commits after this time; the fsync of the commit comes on top. */
const STEP_MS = 8

/** After a transaction, others have the database for this multiple of its duration: a daemon asks for it every millisecond. */
const PAUSE_SHARE = 1
const LEAST_PAUSE_MS = 5
const LONGEST_PAUSE_MS = 1_000

export interface PacedWriterOptions {
  readonly stopwatch?: Stopwatch
  readonly pause?: (ms: number) => Promise<unknown>
  /** Throws where nothing may be written. Called before each transaction, and in it. */
  readonly assertWritable?: () => void
}

/**
 * The write transactions of a command or of the admin API, beside a daemon that must not wait for them. SQLite grants its lock
 * to whoever asks first: a command that wrote step after step without pauses kept acknowledgements waiting for up to 5 s. So
 * transactions come one at a time, those with much to do end after `STEP_MS`, and each is followed by a pause in proportion.
 */
export class PacedWriter {
  readonly #database: Database.Database
  readonly #stopwatch: Stopwatch
  readonly #pause: (ms: number) => Promise<unknown>
  readonly #assertWritable: () => void
  #last: Promise<unknown> = Promise.resolve()
  #notBefore = Number.NEGATIVE_INFINITY

  constructor(
    database: Database.Database,
    { stopwatch = systemStopwatch, pause = (ms) => sleep(ms), assertWritable = () => {} }: PacedWriterOptions = {},
  ) {
    this.#database = database
    this.#stopwatch = stopwatch
    this.#pause = pause
    this.#assertWritable = assertWritable
  }

  /**
   * Runs `work` in one transaction. `isOver` says when it should commit and leave the rest to another one. Rejects as the
   * outbox does, with nothing changed.
   */
  write<T>(work: (isOver: () => boolean) => T): Promise<T> {
    const written = this.#last.then(() => this.#write(work))
    this.#last = written.catch(() => {})
    return written
  }

  /** Runs `work` on each item, in as many transactions as that takes. What is done stays done if one fails. */
  async each<Item>(items: readonly Item[], work: (item: Item) => void): Promise<void> {
    for (let next = 0; next < items.length; ) {
      next = await this.write((isOver) => {
        let at = next
        do work(items[at++]!)
        while (at < items.length && !isOver())
        return at
      })
    }
  }

  async #write<T>(work: (isOver: () => boolean) => T): Promise<T> {
    const pauseMs = this.#notBefore - this.#stopwatch()
    if (pauseMs > 0) await this.#pause(pauseMs)
    if (!this.#database.open) throw new RelayError('outbox_unavailable', 'outbox: it is closed')
    // Waiting for the lock is not work.
    let startedAt = this.#stopwatch()
    try {
      this.#assertWritable()
      return this.#database
        .transaction(() => {
          startedAt = this.#stopwatch()
          this.#assertWritable()
          return work(() => this.#stopwatch() - startedAt >= STEP_MS)
        })
        .immediate()
    } catch (error) {
      throw fromFault(toFault(error))
    } finally {
      const endedAt = this.#stopwatch()
      const pause = Math.max(LEAST_PAUSE_MS, PAUSE_SHARE * (endedAt - startedAt))
      this.#notBefore = endedAt + Math.min(LONGEST_PAUSE_MS, pause)
    }
  }
}
