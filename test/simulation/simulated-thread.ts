import type Database from 'better-sqlite3'
import type { TargetState } from '../../src/outbox/outbox.ts'
import { type Call, createBatchRunner } from '../../src/outbox/sqlite/batch.ts'
import { unpack } from '../../src/outbox/sqlite/packing.ts'
import type { OutboxThread } from '../../src/outbox/sqlite/sqlite-outbox.ts'
import { createStore } from '../../src/outbox/sqlite/store.ts'
import type { FromWorker, ToWorker } from '../../src/outbox/sqlite/worker.ts'
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
  isTroubled: () => boolean,
  crash: (where: string) => void,
  /** What the relay learns of the targets, in the moment in which it does. */
  learns: (states: readonly TargetState[]) => void,
): OutboxThread {
  const run = createBatchRunner(
    database,
    createStore(database, () => world.now),
  )
  const ofRun = world.run
  let hear: (message: FromWorker) => void = () => {}
  const maybeCrash = (where: string) => {
    if (!isTroubled() || !world.chance(plan.crash)) return false
    crash(where)
    return true
  }

  function take(message: ToWorker): void {
    if (maybeCrash('before a batch')) return
    let answer: FromWorker
    const learnt: TargetState[] = []
    if (message === 'close') answer = { kind: 'closed' }
    else if (isTroubled() && world.chance(plan.outboxFault)) {
      const fault = { code: 'outbox_unavailable', message: 'outbox: SQLITE_FULL' } as const
      // A release is a matter of memory only.
      const replyTo = (call: Call) => (call.method === 'release' ? run([call])[0]! : { fault })
      answer = { kind: 'replies', replies: message.calls.map(replyTo) }
      world.note(`disk full: ${message.calls.map(({ method }) => method)}`)
    } else {
      const replies = run(unpack(message))
      answer = { kind: 'replies', replies }
      for (const [index, { method }] of message.calls.entries()) {
        const reply = replies[index]!
        if (method === 'targetStates' && 'value' in reply) learnt.push(...(reply.value as TargetState[]))
      }
      world.note(`committed: ${message.calls.map(({ method }) => method)}`)
    }
    if (maybeCrash('after a batch')) return
    const tell = () => {
      hear(answer)
      // What follows from one answer of a batch may come before what follows from another.
      world.after(0, () => learns(learnt), ofRun)
    }
    world.after(world.random(), tell, ofRun)
  }

  return {
    postMessage: (message) => {
      // As between threads: nothing is shared.
      const copy = structuredClone(message)
      world.after(world.random() * 3, () => take(copy), ofRun)
    },
    on(event: 'message' | 'error', listener: (message: never) => void) {
      if (event === 'message') hear = listener as (message: FromWorker) => void
    },
  }
}
