import { closeSync, constants, fstatSync, openSync, write, writeSync } from 'node:fs'
import { Socket } from 'node:net'
import type { Sink } from './line-writer.ts'

/** Most that may wait to be written, in characters; lines beyond it are dropped. */
const MOST_WAITING = 16 * 1024 * 1024
/** After an error, lines are dropped for this long before one is tried again. */
const RETRY_MS = 1_000
/** Between two tries where the reader is behind (EAGAIN): from the first to the longest. */
const LEAST_PAUSE_MS = 1
const LONGEST_PAUSE_MS = 100
/** How long the process may be held up at its very end by a reader that is behind. */
const EXIT_MS = 200

/** The reader is behind, or a signal came first: the same write may succeed soon. */
const PASSING: ReadonlySet<string | undefined> = new Set(['EAGAIN', 'EBUSY', 'EINTR'])
const NEWLINE = 0x0a
const NOTHING: Dropped = { lines: 0, characters: 0 }

export interface DescriptorSinkOptions {
  readonly fd: number
  /** Something was written. */
  written(): void
  /** Writing works again after these were dropped; `error` is an errno name, or null where they were not read in time. */
  recovered(dropped: Dropped, error: string | null): void
}

export interface Dropped {
  readonly lines: number
  readonly characters: number
}

/**
 * Writes lines to a file descriptor in the background. Nothing that is wrong with the descriptor reaches the caller: lines that
 * cannot be written are dropped and counted, and writing is tried again with later ones. pino's own destination exits,
 * or retries an error without end while the process exits, which leaves a process that answers nothing and ignores signals.
 */
export class DescriptorSink implements Sink {
  readonly #fd: number
  readonly #mayBlock: boolean
  readonly #options: DescriptorSinkOptions
  #waiting: string[] = []
  #waitingLength = 0
  #current: Buffer | undefined
  #offset = 0
  #isWriting = false
  /** Whether the last byte written was inside a line. */
  #isMidLine = false
  #pauseMs = LEAST_PAUSE_MS
  #retryAt = 0
  #error: string | null = null
  #unreported: Dropped = NOTHING
  #dropped = 0
  #flushed: (() => void)[] = []

  constructor(options: DescriptorSinkOptions) {
    const { fd, mayBlock } = nonBlocking(options.fd)
    this.#fd = fd
    this.#mayBlock = mayBlock
    this.#options = options
  }

  /** Lines dropped since the start. */
  get dropped(): number {
    return this.#dropped
  }

  /** Takes whole lines. */
  write(text: string): void {
    const isFull = this.#waitingLength + text.length > MOST_WAITING
    if (isFull || performance.now() < this.#retryAt) {
      this.#drop(text)
      return
    }
    this.#waiting.push(text)
    this.#waitingLength += text.length
    if (this.#current === undefined) this.#next()
  }

  /** Calls `done` when everything written before is out, or has been dropped. */
  flush(done: () => void): void {
    if (this.#current === undefined) done()
    else this.#flushed.push(done)
  }

  /** Writes what it can while the process exits. Returns within a moment whatever the descriptor does. */
  writeLast(): void {
    if (this.#mayBlock) return
    // What is being written by another thread is not to be written twice.
    const rest = this.#current === undefined || this.#isWriting ? [] : [this.#current.subarray(this.#offset)]
    const giveUpAt = performance.now() + EXIT_MS
    for (const piece of [...rest, ...this.#waiting.map((text) => Buffer.from(text))]) {
      if (!writeWhole(this.#fd, piece, giveUpAt)) return
    }
  }

  #next(): void {
    const text = this.#waiting.shift()
    if (text === undefined) {
      this.#idle()
      return
    }
    this.#waitingLength -= text.length
    this.#current = Buffer.from(this.#isMidLine ? `\n${text}` : text)
    this.#offset = 0
    this.#try()
  }

  #try(): void {
    const { length } = this.#current!
    this.#isWriting = true
    write(this.#fd, this.#current!, this.#offset, length - this.#offset, null, (error, written) => {
      this.#isWriting = false
      if (error === null && written > 0) this.#advance(written)
      else if (error === null || PASSING.has(error.code)) this.#tryLater()
      else this.#fail(error.code ?? error.message)
    })
  }

  #tryLater(): void {
    // Waiting for a reader is no reason to keep the process alive.
    setTimeout(() => this.#try(), this.#pauseMs).unref()
    this.#pauseMs = Math.min(LONGEST_PAUSE_MS, this.#pauseMs * 2)
  }

  #advance(written: number): void {
    const current = this.#current!
    this.#offset += written
    this.#isMidLine = current[this.#offset - 1] !== NEWLINE
    this.#pauseMs = LEAST_PAUSE_MS
    this.#options.written()
    if (this.#offset < current.length) this.#try()
    else this.#next()
  }

  #fail(error: string): void {
    const lost = this.#current!.subarray(this.#offset).toString() + this.#waiting.join('')
    this.#current = undefined
    this.#waiting = []
    this.#waitingLength = 0
    this.#error = error
    this.#retryAt = performance.now() + RETRY_MS
    this.#drop(lost)
    this.#settleFlushes()
  }

  #drop(text: string): void {
    const lines = linesIn(text)
    this.#dropped += lines
    const unreported = this.#unreported
    this.#unreported = { lines: unreported.lines + lines, characters: unreported.characters + text.length }
  }

  #idle(): void {
    this.#current = undefined
    if (this.#unreported !== NOTHING) {
      const [dropped, error] = [this.#unreported, this.#error]
      this.#unreported = NOTHING
      this.#error = null
      this.#options.recovered(dropped, error)
    }
    this.#settleFlushes()
  }

  #settleFlushes(): void {
    for (const done of this.#flushed.splice(0)) done()
  }
}

/**
 * A descriptor of the same file that does not block without a reader: a thread that is blocked in a write keeps the process from
 * exiting. A pipe or terminal is opened a second time, for `O_NONBLOCK` on the descriptor itself would hold for every process
 * that shares it. A socket cannot be opened again; Node makes it non-blocking when it makes a stream of it.
 */
function nonBlocking(fd: number): { fd: number; mayBlock: boolean } {
  const stat = fstatSync(fd)
  if (stat.isFile()) return { fd, mayBlock: false }
  if (stat.isSocket()) {
    new Socket({ fd, readable: false, writable: true }).unref()
    return { fd, mayBlock: false }
  }
  try {
    const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = constants
    const own = openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_NONBLOCK | O_NOCTTY)
    // Another user's pipe or terminal may have been replaced by something else.
    if (fstatSync(own).ino === stat.ino) return { fd: own, mayBlock: false }
    closeSync(own)
  } catch {
    // Not permitted after a change of user, no /proc, or no reader.
  }
  return { fd, mayBlock: true }
}

/** Whether all of it was written by then. */
function writeWhole(fd: number, piece: Buffer, giveUpAt: number): boolean {
  let offset = 0
  while (offset < piece.length) {
    try {
      offset += writeSync(fd, piece, offset)
    } catch (error) {
      if (!PASSING.has((error as NodeJS.ErrnoException).code) || performance.now() > giveUpAt) return false
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LEAST_PAUSE_MS)
    }
  }
  return true
}

function linesIn(text: string): number {
  let lines = 0
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) lines += 1
  return lines
}
