import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { errorMessage, RelayError } from '../../domain/errors.ts'
import type { OutboxOperator } from '../operator.ts'
import { fromFault } from './faults.ts'
import type { Answer, Request } from './operator-worker.ts'

/** What may be asked of an operator in another thread. */
const METHODS = [
  'findRejections',
  'listDeliveries',
  'showDelivery',
  'retryDeliveries',
  'cancelDeliveries',
  'moveDeliveries',
  'countEvents',
  'listEvents',
  'findEvents',
  'findCalls',
  'listCalls',
  'showEvent',
  'showCall',
  'readEvents',
  'replay',
  'listRejections',
  'readRejections',
  'admit',
  'provider',
  'secretUses',
  'listGaps',
  'clock',
  'setPaused',
  'listTargets',
  'isOnRecord',
  'status',
  'newestEntries',
  'daemon',
  'requestReload',
  'requestRecall',
  'recallAnswer',
  'requestProbe',
  'probeResult',
  'lastAttempt',
  'cancelledButDelivered',
  'close',
] as const satisfies readonly (keyof OutboxOperator)[]

export type ThreadedOperator = Pick<OutboxOperator, (typeof METHODS)[number]>

/** So many may wait for an answer; the rest is told to come again. */
const MOST_WAITING = 64
/** After a thread has ended by itself: how soon another may be started, doubled each time up to the longest. */
const RESTART_MS = 1_000
const LONGEST_RESTART_MS = 60_000
/** How long a thread may take to answer what it was asked before it was closed. */
const CLOSE_MS = 5_000

interface Waiting {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: RelayError) => void
}

export interface OperatorThreadOptions {
  readonly restartMs?: number
  /** Called each time that the thread has ended by itself. Absent: nothing is. */
  readonly onEnd?: (problem: string) => void
  /** The program of the thread; a test gives another one. */
  readonly program?: URL
}

/**
 * An operator for the daemon itself, in a thread: SQLite is synchronous, and a list of a large history would hold up the
 * event loop. Throws as `SqliteOperator.open`. A thread that ends by itself is replaced by another; until that is open, calls
 * reject with `outbox_unavailable`, as they do once it is closed. They also reject with `overloaded`.
 */
export async function openOperatorThread(path: string, options: OperatorThreadOptions = {}): Promise<ThreadedOperator> {
  const {
    restartMs = RESTART_MS,
    onEnd = () => {},
    program = new URL('./operator-worker.js', import.meta.url),
  } = options
  let isClosing = false
  let pauseMs = restartMs
  let timer: NodeJS.Timeout | undefined
  let current: OperatorThread | undefined
  let problem = ''

  function use(thread: OperatorThread): void {
    current = thread
    void thread.ended.then((why) => {
      current = undefined
      problem = why
      if (isClosing) return
      onEnd(why)
      // One that has worked for long enough has not failed for what it was started with.
      if (performance.now() - thread.startedAt > LONGEST_RESTART_MS) pauseMs = restartMs
      restartLater()
    })
  }

  function restartLater(): void {
    timer = setTimeout(restart, pauseMs).unref()
    pauseMs = Math.min(LONGEST_RESTART_MS, pauseMs * 2)
  }

  async function restart(): Promise<void> {
    try {
      const thread = await OperatorThread.open(program, path)
      if (isClosing) await thread.close()
      else use(thread)
    } catch (error) {
      problem = errorMessage(error)
      if (isClosing) return
      onEnd(problem)
      restartLater()
    }
  }

  function call(method: Request['method'], args: unknown[]): Promise<unknown> {
    return current?.call(method, args) ?? Promise.reject(unavailable(problem))
  }

  /** What was asked before is still answered. */
  async function close(): Promise<void> {
    isClosing = true
    clearTimeout(timer)
    await current?.close()
    problem = 'it is closed'
  }

  use(await OperatorThread.open(program, path))
  const methods = METHODS.map((method) =>
    method === 'close' ? [method, close] : [method, (...args: unknown[]) => call(method, args)],
  )
  return Object.fromEntries(methods) as ThreadedOperator
}

function unavailable(why: string): RelayError {
  return new RelayError('outbox_unavailable', `outbox: ${why}`)
}

/** One thread, from its start to its end. */
class OperatorThread {
  readonly startedAt = performance.now()
  /** Resolves with why it has ended. */
  readonly ended: Promise<string>
  readonly #worker: Worker
  readonly #waiting = new Map<number, Waiting>()
  #calls = 0
  #closing: Promise<void> | undefined

  /** Throws what kept it from opening the outbox, or from starting at all. */
  static async open(program: URL, path: string): Promise<OperatorThread> {
    const worker = new Worker(program, { workerData: path, execArgv: [] })
    const thread = new OperatorThread(worker)
    const ended = thread.ended.then((why) => {
      throw unavailable(why)
    })
    const [first] = (await Promise.race([once(worker, 'message'), ended])) as [Answer]
    if (first !== 'open') throw fromFault((first as { fault: Parameters<typeof fromFault>[0] }).fault)
    return thread
  }

  private constructor(worker: Worker) {
    this.#worker = worker
    worker.on('message', (answer: Answer) => {
      if (answer !== 'open' && 'id' in answer) this.#answer(answer)
    })
    this.ended = new Promise((resolve) => {
      let why = 'its thread has ended'
      worker.on('error', (error) => {
        why = errorMessage(error)
      })
      worker.on('exit', () => resolve(this.#closing === undefined ? why : 'it is closed'))
    })
    void this.ended.then((why) => {
      for (const { reject } of this.#waiting.values()) reject(unavailable(why))
      this.#waiting.clear()
    })
  }

  call(method: Request['method'], args: unknown[]): Promise<unknown> {
    if (this.#closing !== undefined) return Promise.reject(unavailable('it is closed'))
    if (this.#waiting.size >= MOST_WAITING) {
      return Promise.reject(
        new RelayError('overloaded', 'too many requests are waiting for the outbox; ask again later'),
      )
    }
    return new Promise((resolve, reject) => {
      this.#calls += 1
      this.#waiting.set(this.#calls, { resolve, reject })
      this.#worker.postMessage({ id: this.#calls, method, args } satisfies Request)
    })
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#worker.postMessage('close')
    let timer: NodeJS.Timeout | undefined
    // Not waiting for that: it takes until SQLite has come back from what it is doing.
    const tooLong = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        void this.#worker.terminate()
        resolve()
      }, CLOSE_MS)
    })
    await Promise.race([this.ended, tooLong])
    clearTimeout(timer)
  }

  #answer(answer: Extract<Answer, { id: number }>): void {
    const { resolve, reject } = this.#waiting.get(answer.id) ?? {}
    this.#waiting.delete(answer.id)
    if ('fault' in answer) reject?.(fromFault(answer.fault))
    else resolve?.(answer.value)
  }
}
