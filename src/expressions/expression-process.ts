import { Worker } from 'node:worker_threads'
import {
  type FromProcess,
  type FromThread,
  QUEUES,
  type QueueName,
  type TaskResult,
  type ToProcess,
  type ToThread,
} from './protocol.ts'

const CHECK_MS = 20
/** A machine that is busy with something else may leave a task this many times its budget by the clock on the wall. */
const WALL_FACTOR = 20
const HEAP_MB = 256

interface Waiting extends ToThread {
  readonly id: number
  readonly budgetMs: number
}

/** A thread and the tasks that wait for their turn on it. */
class ThreadQueue {
  readonly #name: QueueName
  readonly #waiting: Waiting[] = []
  #thread: Worker | undefined
  /** Whether the thread can be given a task. */
  #isReady = false
  #running: { readonly task: Waiting; readonly cpu: NodeJS.CpuUsage; readonly since: number } | undefined
  #check: NodeJS.Timeout | undefined

  constructor(name: QueueName) {
    this.#name = name
  }

  add(task: Waiting): void {
    this.#waiting.push(task)
    this.#next()
  }

  #next(): void {
    if (this.#running !== undefined || this.#waiting.length === 0) return
    this.#thread ??= this.#start()
    if (!this.#isReady) return
    const waiting = this.#waiting.shift()!
    const { task, body, bodyNumber, event } = waiting
    this.#running = { task: waiting, cpu: process.cpuUsage(), since: performance.now() }
    this.#thread.postMessage({ task, body, bodyNumber, event } satisfies ToThread)
    this.#check = setInterval(() => this.#watch(), CHECK_MS)
  }

  #start(): Worker {
    const thread = new Worker(new URL('./expression-thread.js', import.meta.url), {
      name: this.#name,
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
    })
    let wasReady = false
    thread.on('message', (answer: FromThread) => {
      if (answer === 'ready') this.#isReady = wasReady = true
      else this.#end(answer)
      this.#next()
    })
    // What an error means is seen by the end that follows.
    thread.on('error', () => {})
    thread.on('exit', () => {
      // It cannot be started: the relay is told by the end of the process.
      if (!wasReady) process.exit(1)
      this.#thread = undefined
      this.#isReady = false
      this.#end({ overran: 'it took too much memory' })
      this.#next()
    })
    return thread
  }

  /** Ends a task that has taken its time. The next waits for the end of the thread, which a call of V8's own may delay. */
  #watch(): void {
    const { task, since } = this.#running!
    const wallMs = performance.now() - since
    if (wallMs < task.budgetMs || (this.#cpuMs() < task.budgetMs && wallMs < task.budgetMs * WALL_FACTOR)) return
    this.#isReady = false
    this.#end({ overran: `it took more than ${Math.round(task.budgetMs)} ms` })
    void this.#thread!.terminate()
  }

  /** Of all queues and of the collection of garbage: time is never counted too low. */
  #cpuMs(): number {
    const { user, system } = process.cpuUsage(this.#running!.cpu)
    return (user + system) / 1_000
  }

  #end(result: TaskResult | { readonly overran: string }): void {
    if (this.#running === undefined) return
    const answer: FromProcess = { id: this.#running.task.id, cpuMs: this.#cpuMs(), ...result }
    clearInterval(this.#check)
    this.#running = undefined
    if (process.connected) process.send!(answer)
  }
}

/**
 * The process that evaluates expressions for the relay. It ends when the relay has, whatever its threads are at.
 * It is a process of its own because a thread does not bound memory: where V8 finds no room for one long text, it ends
 * the process that the thread is in.
 */
function main(): void {
  const queues = new Map(QUEUES.map((name) => [name, new ThreadQueue(name)]))
  // It is for the relay to say what ends: a terminal and a service manager signal every process there is.
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => {})
  let [body, bodyNumber]: [Uint8Array, number] = [new Uint8Array(), 0]
  process.on('message', ({ queue, body: sent, ...task }: ToProcess) => {
    if (sent !== null) [body, bodyNumber] = [sent, bodyNumber + 1]
    queues.get(queue)!.add({ ...task, body, bodyNumber })
  })
  process.on('disconnect', () => process.exit())
}

main()
