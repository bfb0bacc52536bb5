import { parentPort, workerData } from 'node:worker_threads'
import { type Call, createBatchRunner, type Reply } from './batch.ts'
import { openOutboxFile } from './database.ts'
import { type Fault, toFault } from './faults.ts'
import { createStore } from './store.ts'

/** What the main thread sends: calls to run together, or the wish to end. */
export type ToWorker = { readonly calls: readonly Call[] } | 'close'

/** What the worker answers. After `failed` it takes nothing more. */
export type FromWorker =
  | { readonly kind: 'open' }
  | { readonly kind: 'replies'; readonly replies: readonly Reply[] }
  | { readonly kind: 'failed'; readonly fault: Fault }
  | { readonly kind: 'closed' }

/**
 * The thread that owns the database. The event loop of the daemon never waits for a disk; this one does nothing else.
 * When an answer is posted, what it reports is on disk.
 */
function main(port: NonNullable<typeof parentPort>, path: string): void {
  const post = (message: FromWorker) => port.postMessage(message)
  try {
    const file = openOutboxFile(path)
    const run = createBatchRunner(file.database, createStore(file.database))
    port.on('message', (message: ToWorker) => {
      try {
        if (message !== 'close') return post({ kind: 'replies', replies: run(message.calls) })
        file.close()
        post({ kind: 'closed' })
      } catch (error) {
        post({ kind: 'failed', fault: toFault(error) })
      }
      port.close()
    })
    post({ kind: 'open' })
  } catch (error) {
    post({ kind: 'failed', fault: toFault(error) })
  }
}

if (parentPort !== null) main(parentPort, workerData as string)
