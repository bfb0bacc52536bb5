import type Database from 'better-sqlite3'
import type { Delivery, NewDelivery } from '../../domain/delivery.ts'
import type { Claim, ClaimOptions, Outbox, Recorded, Settled } from '../outbox.ts'
import { BackgroundShare } from './background-share.ts'
import type { RecordedEvent } from './events.ts'
import { classify, type Fault, toFault } from './faults.ts'
import { type Checkpointed, heldLogBytes, plainCheckpoint } from './held-log.ts'
import { Leases } from './leases.ts'
import { StartRecord } from './start-record.ts'
import type { Store } from './store.ts'
import { beginWrite } from './transaction.ts'

const NOTHING = new Uint8Array()
/** A delivery that was never tried. */
const FRESH = { attempts: 0, round: 1, roundAttempts: 0, firstAttemptAt: null }

type Method = Exclude<keyof Outbox, 'close'>

/** A call of the outbox on its way to the worker. */
export type Call = { [M in Method]: { readonly method: M; readonly args: Parameters<Outbox[M]> } }[Method]

/** What came of a call. */
export type Reply = { readonly value: unknown } | { readonly fault: Fault }

/**
 * Runs calls that arrived together: everything that writes in one transaction, so that they share one fsync, and what
 * only reads after it, so that a claim sees what was just settled. If the transaction fails on one call's account, each is run
 * again in a transaction of its own, so that one bad call never takes others with it. An error that says the storage
 * can no longer be trusted, or is another daemon's now, is thrown. `assertOwner` throws in the latter case; it is called in
 * each transaction that writes and before each claim.
 */
export function createBatchRunner(
  database: Database.Database,
  store: Store,
  assertOwner: () => void = () => {},
  checkpoint: () => Checkpointed = () => plainCheckpoint(database),
  starts: StartRecord = new StartRecord(database, false, assertOwner),
): (calls: readonly Call[]) => Reply[] {
  const leases = new Leases()
  const share = new BackgroundShare()
  /** Settled in the transaction under way: their leases end when it has committed. */
  const settling = new Set<number>()

  function write(call: Call): unknown {
    switch (call.method) {
      case 'record':
        return recorded(call.args)
      case 'reject':
        return store.reject(...call.args)
      case 'settle':
        return settle(...call.args)
      case 'applyTargets':
        return store.applyTargets(...call.args)
      case 'suspendTargets':
        return store.suspendTargets(...call.args)
      case 'skipTime':
        return store.skipTime(...call.args)
      case 'saveBreaker':
        return store.saveBreaker(...call.args)
      case 'saveThrottle':
        return store.saveThrottle(...call.args)
      case 'saveSecretUse':
        return store.saveSecretUse(...call.args)
      case 'saveDaemon':
        return store.saveDaemon(...call.args)
      case 'answerRecall':
        return store.answerRecall(...call.args)
      case 'answerProbe':
        return store.answerProbe(...call.args)
      case 'saveSweep':
        return store.saveSweep(...call.args)
      case 'saveGaps':
        return store.saveGaps(...call.args)
      case 'saveAwaited':
        return store.saveAwaited(...call.args)
      case 'forgetAwaited':
        return store.forgetAwaited(...call.args)
      case 'saveCoverage':
        return store.saveCoverage(...call.args)
      case 'saveProviderState':
        return store.saveProviderState(...call.args)
      case 'gapsTold':
        return store.gapsTold(...call.args)
      case 'saveAttachment':
        return store.saveAttachment(...call.args)
      case 'observeClock':
        return store.observeClock(...call.args)
      case 'prune':
        return store.prune(...call.args)
    }
  }

  function read(call: Call): unknown {
    switch (call.method) {
      case 'claim':
        return claim(...call.args)
      case 'release':
        starts.released(call.args[0].deliveryId)
        return leases.giveBack(call.args[0].target, call.args[0].deliveryId)
      case 'probeRequests':
        return store.probeRequests()
      case 'targetStates':
        return store.targetStates()
      case 'newestEvents':
        return store.newestEvents(...call.args)
      case 'oldestDueAt':
        return store.oldestDueAt(...call.args)
      case 'heldBacklog':
        return store.heldBacklog(...call.args)
      case 'tally':
        return store.tally(...call.args)
      case 'attemptsBefore':
        return store.attemptsBefore(...call.args)
      case 'targetsWithDeliveries':
        return store.targetsWithDeliveries()
      case 'missingEvents':
        return store.missingEvents(...call.args)
      case 'sweep':
        return store.sweep(...call.args)
      case 'awaitedOf':
        return store.awaitedOf(...call.args)
      case 'dueCalls':
        return store.dueCalls(...call.args)
      case 'coverage':
        return store.coverage(...call.args)
      case 'providerState':
        return store.providerState(...call.args)
      case 'untoldGaps':
        return store.untoldGaps(...call.args)
      case 'attachment':
        return store.attachment(...call.args)
      case 'isPending':
        return store.isPending(...call.args)
      case 'eventsWithRecording':
        return store.eventsWithRecording()
      case 'heldLogBytes':
        return heldLogBytes(database, checkpoint)
    }
  }

  function claim(target: string, limit: number, now: number, options: ClaimOptions = {}): Claim {
    const { latest: asked = Number.POSITIVE_INFINITY } = options
    const { maxBytes = Number.POSITIVE_INFINITY, atLeastOne = false } = options
    assertOwner()
    // Each lease keeps one due delivery at most from being claimed: its own, or the next of its call.
    const reach = limit + leases.count(target) + starts.suspects
    const { stoppedMs, latest: applied } = store.claimTimes(target, now)
    const latest = Math.max(asked, applied ?? asked)
    const dueBy = options.early === true ? Number.MAX_SAFE_INTEGER : now
    const due = store.dueIds(target, reach, dueBy, latest, share.isDueWithin(target, limit))
    const isFree = (id: number) => !leases.has(target, id)
    const [live, background] = [due.live.filter(isFree), due.background.filter(isFree)]
    const inTurn = share.inTurn(target, { live, background })
    const free =
      options.probe === true ? probesFirst(store.probeIds(target, reach, dueBy).filter(isFree), inTurn) : inTurn
    // Usually all leased deliveries are due. Only one that was changed since it was leased can keep another from being claimed.
    const mayBlock = leases.count(target) > due.live.length + due.background.length - inTurn.length
    const isBehind = new Set(background)
    const turns = starts.turns(now)
    const deliveries: Delivery[] = []
    const lost: number[] = []
    let room = maxBytes
    let nextBytes: number | undefined
    for (const id of free) {
      if (deliveries.length + lost.length === limit) break
      if ((mayBlock && isBlocked(target, id)) || !turns.mayGo(id)) continue
      const isFirst = deliveries.length === 0
      const found = store.delivery(id, {
        now,
        stoppedMs,
        maxBytes: atLeastOne && isFirst ? Number.POSITIVE_INFINITY : room,
      })
      if (found === undefined) lost.push(id)
      else if ('tooLarge' in found) nextBytes = found.tooLarge
      else {
        leases.take(target, id, found.event.callId)
        share.claimed(target, isBehind.has(id))
        deliveries.push(found)
        room -= found.event.body.byteLength
      }
      if (nextBytes !== undefined) break
    }
    if (lost.length > 0) abandon(lost, now)
    begin(target, deliveries, now)
    if (nextBytes !== undefined) return { deliveries, nextDueAt: now, nextBytes }
    // What is abandoned may leave the next of its call to be claimed.
    const isMore = deliveries.length === limit || lost.length > 0
    const nextDueAt = isMore ? now : turns.nextDueAt(store.nextDueAt(target, now, latest))
    const isLiveDue = isMore && (due.live.length === reach || live.some(isFree))
    return { deliveries, nextDueAt, ...(isLiveDue && { isLiveDue }) }
  }

  /** Puts on record what is claimed, where that is needed; where it cannot be, nothing is claimed. */
  function begin(target: string, deliveries: readonly Delivery[], now: number): void {
    try {
      starts.begin(deliveries, now)
    } catch (error) {
      for (const { deliveryId } of deliveries) leases.giveBack(target, deliveryId)
      throw error
    }
  }

  /** Whether an attempt of the delivery's ordered call is still under way. */
  function isBlocked(target: string, deliveryId: number): boolean {
    const callId = store.orderedCallOf(deliveryId)
    return callId !== null && leases.hasCall(target, callId)
  }

  /** Fenced by the lease. */
  function settle(...[delivery, attempt, settlement]: Parameters<Outbox['settle']>): Settled {
    const { target, deliveryId } = delivery
    if (!leases.has(target, deliveryId) || settling.has(deliveryId)) return 'gone'
    settling.add(deliveryId)
    return store.settle(delivery, attempt, settlement)
  }

  /** Their events were deleted with another tool. They must not keep those after them from being claimed. */
  function abandon(ids: readonly number[], now: number): void {
    beginWrite(database)
    try {
      for (const id of ids) store.abandon(id, now)
      database.exec('commit')
    } catch (error) {
      if (database.inTransaction) database.exec('rollback')
      throw error
    }
  }

  function recorded(args: Parameters<Outbox['record']>): RecordedEvent {
    const made = store.record(...args)
    if (starts.recordsAll) starts.mark(toLease(args[1], made).map(({ deliveryId }) => deliveryId))
    return made
  }

  function toLease(asked: readonly NewDelivery[], { ready }: RecordedEvent): RecordedEvent['ready'] {
    const wanted = new Set(asked.filter(({ lease }) => lease === true).map(({ target }) => target))
    return ready.filter(({ target }) => wanted.has(target))
  }

  /** Leases the new deliveries that were to be. Their bodies are left out: the caller has them. */
  function leased([event, asked]: Parameters<Outbox['record']>, made: RecordedEvent): Recorded {
    const { eventId, duplicate, targets } = made
    const { callId } = event
    // Spelled out: this runs for every event, and a spread costs microseconds.
    const delivered = {
      eventId: event.eventId,
      source: event.source,
      event: event.event,
      callId,
      receivedAt: event.receivedAt,
      contentType: event.contentType,
      traceparent: event.traceparent ?? null,
      tracestate: event.tracestate ?? null,
      via: event.via ?? null,
      body: NOTHING,
    }
    const deliveries: Delivery[] = []
    for (const { target, deliveryId, ordered } of toLease(asked, made)) {
      if (starts.recordsAll) starts.marked(deliveryId)
      if (ordered && callId !== null && leases.hasCall(target, callId)) {
        starts.released(deliveryId)
        continue
      }
      leases.take(target, deliveryId, callId)
      share.claimed(target, false)
      deliveries.push({ ...FRESH, deliveryId, target, event: delivered })
    }
    return { eventId, duplicate, targets, leased: deliveries }
  }

  /** Takes and ends leases as a call that has committed says; returns its value. */
  function committed(call: Call, value: unknown): unknown {
    if (call.method === 'settle') {
      leases.giveBack(call.args[0].target, call.args[0].deliveryId)
      starts.settled(call.args[0].deliveryId)
    }
    return call.method === 'record' ? leased(call.args, value as RecordedEvent) : value
  }

  function transaction(calls: readonly Call[]): Reply[] {
    try {
      settling.clear()
      beginWrite(database)
      assertOwner()
      const values = calls.map(write)
      database.exec('commit')
      // Leases are taken and given back only when what they rest on is on disk.
      return calls.map((call, index) => ({ value: committed(call, values[index]) }))
    } catch (error) {
      // Some errors have rolled back already.
      if (database.inTransaction) database.exec('rollback')
      store.rolledBack()
      if (classify(error) === 'fatal') throw error
      if (classify(error) === 'of-one-call' && calls.length > 1) return calls.flatMap((call) => transaction([call]))
      return calls.map(() => ({ fault: toFault(error) }))
    }
  }

  return (calls) => {
    const writes = calls.filter(isWrite)
    const written = writes.length === 0 ? [] : transaction(writes)
    let next = 0
    const replies = calls.map((call) => (isWrite(call) ? written[next++]! : answered(() => read(call))))
    starts.flushIfPossible()
    return replies
  }
}

/** What a wrong clock has put off is due as well, and in no case among the probes. */
function probesFirst(probes: readonly number[], inTurn: readonly number[]): readonly number[] {
  return [...new Set([...probes, ...inTurn])]
}

const WRITES: ReadonlySet<Method> = new Set([
  'record',
  'reject',
  'settle',
  'applyTargets',
  'suspendTargets',
  'skipTime',
  'saveBreaker',
  'saveThrottle',
  'saveSecretUse',
  'saveDaemon',
  'answerRecall',
  'answerProbe',
  'saveSweep',
  'saveGaps',
  'saveAwaited',
  'forgetAwaited',
  'saveCoverage',
  'saveProviderState',
  'gapsTold',
  'saveAttachment',
  'observeClock',
  'prune',
])

function isWrite(call: Call): boolean {
  return WRITES.has(call.method)
}

function answered(read: () => unknown): Reply {
  try {
    return { value: read() }
  } catch (error) {
    if (classify(error) === 'fatal') throw error
    return { fault: toFault(error) }
  }
}
