import { parentPort, workerData } from 'node:worker_threads'
import type Database from 'better-sqlite3'
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
  /** Another process (the CLI, an operator's sqlite3) has written. */
  | { readonly kind: 'changed' }
  | { readonly kind: 'failed'; readonly fault: Fault }
  | { readonly kind: 'closed' }

/** How often it is looked whether another process has written: a look costs microseconds and reads no file. */
const CHANGE_CHECK_MS = 1_000

/**
 * The thread that owns the database. The event loop of the daemon never waits for a disk; this one does nothing else.
 * When an answer is posted, what it reports is on disk.
 */
function main(port: NonNullable<typeof parentPort>, path: string): void {
  const post = (message: FromWorker) => port.postMessage(message)
  try {
    const file = openOutboxFile(path)
    const run = createBatchRunner(file.database, createStore(file.database))
    const watch = setInterval(
      whenChanged(file.database, () => post({ kind: 'changed' })),
      CHANGE_CHECK_MS,
    )
    port.on('message', (message: ToWorker) => {
      try {
        if (message !== 'close') {
          const replies = run(message.calls)
          file.assertInPlace()
          return post({ kind: 'replies', replies })
        }
        clearInterval(watch)
        file.close()
        post({ kind: 'closed' })
      } catch (error) {
        clearInterval(watch)
        post({ kind: 'failed', fault: toFault(error) })
      }
      port.close()
    })
    post({ kind: 'open' })
  } catch (error) {
    post({ kind: 'failed', fault: toFault(error) })
  }
}

/** A check that calls `tell` if another connection has committed since it was last called. */
function whenChanged(database: Database.Database, tell: () => void): () => void {
  const version = database.prepare('pragma data_version').pluck()
  let seen = version.get()
  return () => {
    const now = version.get()
    if (now !== seen) tell()
    seen = now
  }
}

if (parentPort !== null) main(parentPort, workerData as string)
