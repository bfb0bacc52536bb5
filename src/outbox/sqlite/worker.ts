import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import type Database from 'better-sqlite3'
import { systemStopwatch } from '../../domain/clock.ts'
import { RelayError } from '../../domain/errors.ts'
import type { Creation, OutboxOrigin } from '../outbox.ts'
import { createBatchRunner, type Reply } from './batch.ts'
import { openOutboxFile } from './database.ts'
import { classify, type Fault, toFault } from './faults.ts'
import { batchOf, type ToWorker } from './packing.ts'
import { StartRecord } from './start-record.ts'
import { createStore } from './store.ts'
import { beginWrite } from './transaction.ts'

/** What the worker answers. After `failed` it takes nothing more. */
export type FromWorker =
  | { readonly kind: 'open'; readonly origin: OutboxOrigin }
  | { readonly kind: 'replies'; readonly replies: readonly Reply[] }
  /** Another process (the CLI, an operator's sqlite3) has written. */
  | { readonly kind: 'changed' }
  /** A command asks for a reload; its number. */
  | { readonly kind: 'reload'; readonly request: number }
  /** A command asks for a recall; its number. What was claimed from now on is as the command left it. */
  | { readonly kind: 'recall'; readonly request: number }
  /** The lock file is gone: the daemon is to end before another one begins. Everything still works. */
  | { readonly kind: 'evicted'; readonly fault: Fault }
  | { readonly kind: 'failed'; readonly fault: Fault }
  | { readonly kind: 'closed' }

/** What the worker is started with. */
export interface WorkerInput {
  readonly path: string
  readonly creation: Creation
}
const NOTHING_HELD = { frames: 0, backfilled: 0, isWhole: true }

/** How often to check whether the files are in their places, and the outbox is still ours. */
const FILE_CHECK_MS = 1_000
/** Changes of other processes are reported no more often: lanes then give back what they have claimed, and claim again. */
const CHANGE_PAUSE_MS = 1_000
/** As many as SQLite's own default. */
const FRAMES_A_CHECKPOINT = 1_000
/**
 * How often to check whether another process has written where there is no batch after which to check: a command may wait for
 * its request to be served. Takes microseconds where nothing was written.
 */
const CHANGE_CHECK_MS = 100

/**
 * The thread that owns the database. The event loop of the daemon never waits for a disk; this one does nothing else.
 * When an answer is posted, what it reports is on disk.
 */
function main(port: NonNullable<typeof parentPort>, { path, creation }: WorkerInput): void {
  const post = (message: FromWorker) => port.postMessage(message)
  try {
    const file = openOutboxFile(path, creation)
    const { instance } = file
    const store = createStore(file.database)
    beginWrite(file.database)
    store.dropReloadRequests()
    store.settleRecalls()
    store.settleProbes()
    let lastRecall = store.recallRequested()
    store.resumeStoppedTime()
    file.database.exec('commit')
    // The mark after a checkpoint is not worth another one.
    const checkpointIfAny = () => (file.assertInPlace().waitingFrames > 1 ? file.checkpoint() : NOTHING_HELD)
    const starts = new StartRecord(file.database, file.origin.endedUnexpectedly, file.assertOwner)
    const run = createBatchRunner(file.database, store, file.assertOwner, checkpointIfAny, starts)
    let isEvicted = false
    const checkLockFile = () => {
      if (isEvicted) return
      try {
        instance.assertLockFile()
      } catch (error) {
        isEvicted = true
        post({ kind: 'evicted', fault: toFault(error) })
      }
    }
    const watch = setInterval(() => {
      try {
        const { isMarked } = file.assertInPlace()
        file.assertOwner()
        checkLockFile()
        if (!isMarked) file.checkpoint()
      } catch (error) {
        fail(error)
      }
    }, FILE_CHECK_MS)
    let lastReload = 0
    const lookForRequests = () => {
      const reload = store.reloadRequested()
      if (reload > lastReload) post({ kind: 'reload', request: reload })
      lastReload = reload
      const recall = store.recallRequested()
      if (recall > lastRecall) post({ kind: 'recall', request: recall })
      lastRecall = recall
    }
    let isChanged = false
    let toldAt = Number.NEGATIVE_INFINITY
    const tellChange = whenChanged(file.database, () => {
      isChanged = true
      lookForRequests()
    })
    const checkForChange = () => {
      try {
        tellChange()
      } catch (error) {
        // Locked or out of memory: it is there the next time.
        if (classify(error) !== 'passing') fail(error)
        return
      }
      if (!isChanged || systemStopwatch() - toldAt < CHANGE_PAUSE_MS) return
      isChanged = false
      toldAt = systemStopwatch()
      post({ kind: 'changed' })
    }
    const changes = setInterval(checkForChange, CHANGE_CHECK_MS)
    const endWatches = () => {
      clearInterval(watch)
      clearInterval(changes)
    }
    /** Files that are not in place explain whatever else has failed. */
    const reasonFor = (error: unknown) => {
      if (error instanceof RelayError) return error
      try {
        file.assertInPlace()
        return error
      } catch (reason) {
        return reason
      }
    }
    let hasFailed = false
    const fail = (error: unknown) => {
      hasFailed = true
      endWatches()
      const fault = toFault(reasonFor(error))
      // Another daemon's outbox is none of this one's business.
      if (fault.code !== 'outbox_locked') file.distrust()
      file.abandon()
      post({ kind: 'failed', fault })
      port.close()
    }
    port.on('message', (first: ToWorker) => {
      // What was under way to it already is not to be tried on a storage that has failed.
      if (hasFailed) return
      try {
        const { calls, isLast } = batchOf(first, () => receiveMessageOnPort(port)?.message as ToWorker | undefined)
        if (calls.length > 0) {
          const replies = run(calls)
          const { waitingFrames } = file.assertInPlace()
          post({ kind: 'replies', replies })
          // A relay that is busy has claimed much, and is the one that a recall should reach soon.
          checkForChange()
          if (hasFailed) return
          if (waitingFrames >= FRAMES_A_CHECKPOINT) file.checkpoint()
        }
        if (!isLast) return
        endWatches()
        starts.end()
        file.close()
        post({ kind: 'closed' })
        port.close()
      } catch (error) {
        fail(error)
      }
    })
    post({ kind: 'open', origin: { ...file.origin, interrupted: starts.suspects } })
    // Those that were made before changes were watched for.
    lookForRequests()
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
    if (now === seen) return
    tell()
    seen = now
  }
}

if (parentPort !== null) main(parentPort, workerData as WorkerInput)
