import type Database from 'better-sqlite3'
import type { Outbox } from '../outbox.ts'
import { classify, type Fault, toFault } from './faults.ts'
import { Leases } from './leases.ts'
import type { Store } from './store.ts'

type Method = Exclude<keyof Outbox, 'close'>

/** A call of the outbox on its way to the worker. */
export type Call = { [M in Method]: { readonly method: M; readonly args: Parameters<Outbox[M]> } }[Method]

/** What came of a call. */
export type Reply = { readonly value: unknown } | { readonly fault: Fault }

/**
 * Runs calls that arrived together: everything that writes in one transaction, so that they share one fsync, and what
 * only reads after it, so that a claim sees what was just settled. If the transaction fails on one call's account, each is run
 * again in a transaction of its own, so that one bad call never takes others with it. An error that says the storage
 * can no longer be trusted is thrown.
 */
export function createBatchRunner(database: Database.Database, store: Store): (calls: readonly Call[]) => Reply[] {
  const leases = new Leases()

  function write(call: Call): unknown {
    switch (call.method) {
      case 'record':
        return store.record(...call.args)
      case 'reject':
        return store.reject(...call.args)
      case 'settle':
        return store.settle(...call.args)
    }
  }

  function read(call: Call): unknown {
    switch (call.method) {
      case 'claim':
        return claim(...call.args)
      case 'release':
        return leases.giveBack(call.args[0].target, call.args[0].deliveryId)
    }
  }

  function claim(target: string, limit: number, now: number) {
    // The leased ones are among the first due, so the limit reaches past them; there are never more than are being sent.
    const due = store.dueIds(target, limit + leases.count(target), now)
    const free = due.filter((id) => !leases.has(target, id)).slice(0, limit)
    const deliveries = free.map((id) => store.delivery(id))
    for (const id of free) leases.take(target, id)
    return { deliveries, nextDueAt: free.length === limit ? now : store.nextDueAt(target, now) }
  }

  function transaction(calls: readonly Call[]): Reply[] {
    try {
      database.exec('begin immediate')
      const replies = calls.map((call) => ({ value: write(call) }))
      database.exec('commit')
      return replies
    } catch (error) {
      // Some errors have rolled back already.
      if (database.inTransaction) database.exec('rollback')
      if (classify(error) === 'fatal') throw error
      if (classify(error) === 'of-one-call' && calls.length > 1) return calls.flatMap((call) => transaction([call]))
      return calls.map(() => ({ fault: toFault(error) }))
    }
  }

  return (calls) => {
    const writes = calls.filter(isWrite)
    const written = writes.length === 0 ? [] : transaction(writes)
    // A lease ends only when what ended it is on disk.
    for (const [index, call] of writes.entries()) {
      if (call.method === 'settle' && 'value' in written[index]!) {
        leases.giveBack(call.args[0].target, call.args[0].deliveryId)
      }
    }
    let next = 0
    return calls.map((call) => (isWrite(call) ? written[next++]! : answered(() => read(call))))
  }
}

function isWrite(call: Call): boolean {
  return call.method !== 'claim' && call.method !== 'release'
}

function answered(read: () => unknown): Reply {
  try {
    return { value: read() }
  } catch (error) {
    if (classify(error) === 'fatal') throw error
    return { fault: toFault(error) }
  }
}
