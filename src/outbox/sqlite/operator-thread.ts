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
  'countEvents',
  'listEvents',
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
  'setPaused',
  'listTargets',
  'status',
  'newestEntries',
  'daemon',
  'requestReload',
  'close',
] as const satisfies readonly (keyof OutboxOperator)[]

export type ThreadedOperator = Pick<OutboxOperator, (typeof METHODS)[number]>

/** So many may wait for an answer; the rest is told to come again. */
const MOST_WAITING = 64

interface Waiting {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: RelayError) => void
}

/**
 * An operator for the daemon itself, in a thread: SQLite is synchronous, and a list of a large history would hold up the
 * event loop. Throws as `SqliteOperator.open`. Its calls also reject with `overloaded`, and with `outbox_unavailable` once it
 * is closed.
 */
export async function openOperatorThread(path: string): Promise<ThreadedOperator> {
  const worker = new Worker(new URL('./operator-worker.js', import.meta.url), { workerData: path, execArgv: [] })
  const [first] = (await once(worker, 'message')) as [Answer]
  if (first !== 'open') throw fromFault((first as { fault: Parameters<typeof fromFault>[0] }).fault)

  const waiting = new Map<number, Waiting>()
  const ended = new Promise<void>((resolve) => {
    worker.once('exit', () => resolve())
  })
  let calls = 0
  let problem: string | undefined
  const end = (why: string) => {
    problem ??= why
    for (const { reject } of waiting.values()) reject(new RelayError('outbox_unavailable', `outbox: ${why}`))
    waiting.clear()
  }
  worker.on('message', (answer: Exclude<Answer, 'open'>) => {
    const { resolve, reject } = ('id' in answer && waiting.get(answer.id)) || {}
    if ('id' in answer) waiting.delete(answer.id)
    if ('fault' in answer) reject?.(fromFault(answer.fault))
    else resolve?.(answer.value)
  })
  worker.on('error', (error) => end(errorMessage(error)))
  worker.on('exit', () => end('it is closed'))

  function call(method: Request['method'], args: unknown[]): Promise<unknown> {
    if (problem !== undefined) return Promise.reject(new RelayError('outbox_unavailable', `outbox: ${problem}`))
    if (waiting.size >= MOST_WAITING) {
      return Promise.reject(
        new RelayError('overloaded', 'too many requests are waiting for the outbox; ask again later'),
      )
    }
    return new Promise((resolve, reject) => {
      calls += 1
      waiting.set(calls, { resolve, reject })
      worker.postMessage({ id: calls, method, args } satisfies Request)
    })
  }

  /** What was asked before is still answered. */
  async function close(): Promise<void> {
    worker.postMessage('close')
    await ended
  }

  const methods = METHODS.map((method) =>
    method === 'close' ? [method, close] : [method, (...args: unknown[]) => call(method, args)],
  )
  return Object.fromEntries(methods) as ThreadedOperator
}
