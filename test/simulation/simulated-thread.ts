import type Database from 'better-sqlite3'
import type { TargetState } from '../../src/outbox/outbox.ts'
import { type Call, createBatchRunner, type Reply } from '../../src/outbox/sqlite/batch.ts'
import { batchOf, type ToWorker } from '../../src/outbox/sqlite/packing.ts'
import type { OutboxThread } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { StartRecord } from '../../src/outbox/sqlite/start-record.ts'
import { createStore } from '../../src/outbox/sqlite/store.ts'
import type { FromWorker } from '../../src/outbox/sqlite/worker.ts'
import type { Plan } from './plan.ts'
import type { World } from './world.ts'

/**
 * What stands in for the outbox's thread: the same batches on the same tables, at the world's pace. Before each and after each
 * the relay may crash (`crash`), and the disk may be full.
 */
export function simulatedThread(
  world: World,
  database: Database.Database,
  plan: Pick<Plan, 'crash' | 'outboxFault'>,
  /** Whether the last run ended with a crash. */
  endedUnexpectedly: boolean,
  isTroubled: () => boolean,
  crash: (where: string) => void,
  /** What the relay learns of the targets, in the moment in which it does. */
  learns: (states: readonly TargetState[]) => void,
): OutboxThread {
  const store = createStore(database, () => world.now)
  store.settleRecalls()
  store.resumeStoppedTime()
  const starts = new StartRecord(database, endedUnexpectedly)
  const run = createBatchRunner(database, store, undefined, undefined, starts)
  const ofRun = world.run
  let hear: (message: FromWorker) => void = () => {}
  const maybeCrash = (where: string) => {
    if (!isTroubled() || !world.chance(plan.crash)) return false
    crash(where)
    return true
  }

  const queue: ToWorker[] = []
  let isBusy = false

  /** Begins with the next batch, a little later: what comes until then belongs to it. */
  function goOn(): void {
    isBusy = queue.length > 0
    if (isBusy) world.after(world.random() * 3, take, ofRun)
  }

  function take(): void {
    if (maybeCrash('before a batch')) return
    const { calls, isLast } = batchOf(queue.shift()!, () => queue.shift())
    const learnt: TargetState[] = []
    const replies = answersTo(calls, learnt)
    if (maybeCrash('after a batch')) return
    const tell = () => {
      if (calls.length > 0) hear({ kind: 'replies', replies })
      if (isLast) {
        starts.end()
        hear({ kind: 'closed' })
      }
      // What follows from one answer of a batch may come before what follows from another.
      world.after(0, () => learns(learnt), ofRun)
      goOn()
    }
    world.after(world.random(), tell, ofRun)
  }

  function answersTo(calls: readonly Call[], learnt: TargetState[]): Reply[] {
    if (isTroubled() && world.chance(plan.outboxFault)) {
      const fault = { code: 'outbox_unavailable', message: 'outbox: SQLITE_FULL' } as const
      world.note(`disk full: ${calls.map(({ method }) => method)}`)
      // A release is a matter of memory only.
      return calls.map((call) => (call.method === 'release' ? run([call])[0]! : { fault }))
    }
    const replies = run(calls)
    for (const [index, { method }] of calls.entries()) {
      const reply = replies[index]!
      if (method === 'targetStates' && 'value' in reply) learnt.push(...(reply.value as TargetState[]))
    }
    world.note(`committed: ${calls.map(({ method }) => method)}`)
    return replies
  }

  return {
    postMessage: (message) => {
      // What a relay that has crashed had still in mind.
      if (world.run !== ofRun) return
      // As between threads: nothing is shared.
      queue.push(structuredClone(message))
      if (!isBusy) goOn()
    },
    on(event: 'message' | 'error', listener: (message: never) => void) {
      if (event === 'message') hear = listener as (message: FromWorker) => void
    },
  }
}
