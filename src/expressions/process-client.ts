import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { errorMessage } from '../domain/errors.ts'
import type { EventView } from '../domain/event-context.ts'
import { type FromProcess, QUEUES, type QueueName, type TaskResult, type ToProcess } from './protocol.ts'
import { PayloadError, type Task, TaskError } from './tasks.ts'

/** No answer for this long means that the process, or the machine, is stopped: it is told to go on. */
const CONTINUE_AFTER_MS = 5_000
/** It is killed this long after that. */
const LOST_AFTER_MS = 25_000
/** Bodies that may wait for the process, in bytes. */
const MOST_WAITING = 64 * 1024 * 1024
/** The task that was first in its queue at this many ends of the process is taken for their cause. */
const MOST_CRASHES = 2

/** The task was ended: on this payload it takes more time or memory than it may. */
export class Overrun extends TaskError {}

/** The task could not be evaluated now; a retry may succeed. */
export class NotEvaluated extends Error {}

export interface Evaluated {
  /** The value, or throws `TaskError` or `Overrun`. */
  readonly result: () => unknown
  readonly cpuMs: number
}

interface Pending {
  readonly message: ToProcess & { readonly body: Uint8Array }
  readonly resolve: (evaluated: Evaluated) => void
  readonly reject: (error: NotEvaluated) => void
  crashes: number
}

/**
 * The process that evaluates what nothing in its text bounds. It is started with the first such task, keeps nothing
 * alive while it has nothing to do, and ends with the relay. One that ends itself (out of memory) is started again.
 */
class ExpressionProcess {
  /** In the order in which they were sent. */
  readonly #pending = new Map<number, Pending>()
  #process: ChildProcess | undefined
  #lastId = 0
  /** The body that the process was sent last. */
  #lastBody: Uint8Array | undefined
  #waitingBytes = 0
  #watch: NodeJS.Timeout | undefined

  /** Rejects with `NotEvaluated` only. */
  async run(
    queue: QueueName,
    task: Task,
    body: Uint8Array,
    event: EventView | null,
    budgetMs: number,
  ): Promise<Evaluated> {
    if (this.#waitingBytes > MOST_WAITING) throw new NotEvaluated('too many expressions wait to be evaluated')
    const id = ++this.#lastId
    this.#waitingBytes += body.byteLength
    try {
      return await new Promise<Evaluated>((resolve, reject) => {
        const pending = { message: { id, queue, task, body, event, budgetMs }, resolve, reject, crashes: 0 }
        this.#pending.set(id, pending)
        if (this.#send(pending) && this.#pending.size === 1) this.#expect()
      })
    } finally {
      this.#waitingBytes -= body.byteLength
    }
  }

  /** False where the system does not allow a process, which rejects all that is pending. */
  #send({ message }: Pending): boolean {
    try {
      this.#process ??= this.#start()
    } catch (error) {
      // Node throws some failures, such as ENOMEM, and emits others, such as EAGAIN.
      this.#rejectAll(`the process for expressions cannot start: ${errorMessage(error)}`)
      return false
    }
    // Both: of a process that has just been killed, the channel is closed before the exit is known.
    this.#process.ref()
    this.#process.channel?.ref()
    if (!this.#process.connected) return true
    this.#process.send(message.body === this.#lastBody ? { ...message, body: null } : message)
    this.#lastBody = message.body
    return true
  }

  #start(): ChildProcess {
    const started = fork(fileURLToPath(new URL('./expression-process.js', import.meta.url)), {
      // An expression needs nothing of the relay's environment, which may hold secrets.
      env: {},
      execArgv: [],
      // Bodies are bytes.
      serialization: 'advanced',
      // V8 reports there that it is out of memory.
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    })
    started.on('message', (answer: FromProcess) => this.#settle(answer))
    started.on('error', ({ message }) => {
      // What cannot be sent is followed by the exit.
      if (started.pid === undefined) this.#lose(started, message)
    })
    // It ends by itself where it cannot start a thread; V8 ends it by a signal where it finds no memory.
    started.on('exit', (code) => this.#lose(started, code === null ? null : 'the process for expressions cannot start'))
    return started
  }

  #settle({ id, cpuMs, ...result }: FromProcess): void {
    const pending = this.#pending.get(id)
    this.#pending.delete(id)
    pending?.resolve({ result: () => valueIn(result), cpuMs })
    if (this.#pending.size === 0) this.#rest()
    this.#expect()
  }

  /** Keeps nothing alive until the next task. */
  #rest(): void {
    this.#process?.unref()
    this.#process?.channel?.unref()
  }

  /**
   * Sends what is pending to another process, except for what ended this one. `fault`: why the process could not work,
   * independent of its tasks; null where a task may have ended it.
   */
  #lose(ended: ChildProcess, fault: string | null): void {
    // A process that could not be started emits more than one event.
    if (this.#process !== ended) return
    this.#process = undefined
    this.#lastBody = undefined
    ended.kill('SIGKILL')
    if (fault !== null) this.#rejectAll(fault)
    for (const queue of QUEUES) {
      const first = [...this.#pending.values()].find(({ message }) => message.queue === queue)
      if (first === undefined || ++first.crashes < MOST_CRASHES) continue
      this.#pending.delete(first.message.id)
      first.resolve({ result: () => valueIn({ overran: 'it took too much memory' }), cpuMs: 0 })
    }
    for (const pending of this.#pending.values()) if (!this.#send(pending)) return
    this.#expect()
  }

  #rejectAll(why: string): void {
    for (const { reject } of this.#pending.values()) reject(new NotEvaluated(why))
    this.#pending.clear()
  }

  #expect(): void {
    clearTimeout(this.#watch)
    if (this.#pending.size === 0) return
    const process = this.#process!
    this.#watch = setTimeout(() => {
      process.kill('SIGCONT')
      this.#watch = setTimeout(() => {
        this.#lose(process, 'the process for expressions does not answer')
      }, LOST_AFTER_MS).unref()
    }, CONTINUE_AFTER_MS).unref()
  }
}

function valueIn(result: Result): unknown {
  if ('value' in result) return result.value
  if ('overran' in result) throw new Overrun(result.overran)
  throw result.isPayload ? new PayloadError(result.failed) : new TaskError(result.failed)
}

type Result = TaskResult | { readonly overran: string }

/** Shared by everything that evaluates expressions. */
export const EXPRESSION_PROCESS = new ExpressionProcess()
