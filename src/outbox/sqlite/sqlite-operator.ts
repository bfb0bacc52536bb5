import type Database from 'better-sqlite3'
import type { ClockReading, ClockTrust } from '../../domain/clock-trust.ts'
import type { NewDelivery } from '../../domain/delivery.ts'
import type { NewEvent } from '../../domain/event.ts'
import type {
  Admission,
  Admitted,
  CallSummary,
  DeliveryFilter,
  DeliveryHistory,
  DeliverySummary,
  EventFilter,
  EventHistory,
  ExpectedEvent,
  FoundDelivery,
  Gap,
  JournalFilter,
  JournalPage,
  JournalPosition,
  ListedEvent,
  OutboxOperator,
  OutboxStatus,
  ProbeResult,
  ProviderReport,
  RejectionFilter,
  RejectionSummary,
  Replay,
  SecretUse,
  SentDelivery,
  StoredEvent,
  StoredRejection,
  Sweep,
  TargetSummary,
} from '../operator.ts'
import type { DaemonState, Recorded } from '../outbox.ts'
import { createCallOrder } from './call-order.ts'
import { createClockTrustStore } from './clock-trust.ts'
import { createDaemonStateStore } from './daemon-state.ts'
import { createEventStore } from './events.ts'
import { type ExistingOutbox, openExisting } from './existing.ts'
import { deliveryCondition, eventCondition } from './filter.ts'
import { createHistoryReader } from './histories.ts'
import { entriesAfter, newestEntries } from './journal.ts'
import { createListReader } from './listings.ts'
import { isLocked } from './lock.ts'
import { createProbeDesk } from './probes.ts'
import { createRecallDesk } from './recalls.ts'
import { createReconciliationReader, createReconciliationStore } from './reconciliation.ts'
import { createRedelivery } from './redelivery.ts'
import { createRejectionDesk } from './rejection-desk.ts'
import { createSecretUseStore } from './secret-uses.ts'
import { outboxStatus } from './status.ts'
import { type DeliveryRow, deliverySummary, EVENT, FINISHED, UNFINISHED } from './summaries.ts'
import { createTargetStateStore } from './target-states.ts'
import { targetSummaries } from './target-summaries.ts'
import { PacedWriter, type PacedWriterOptions } from './transaction.ts'

/** Deliveries that are looked up at once, before the time is checked. */
const LOOKED_UP = 20

/** An operator's hands on a SQLite outbox: a connection of its own, beside the daemon's. */
export class SqliteOperator implements OutboxOperator {
  readonly #path: string
  readonly #outbox: ExistingOutbox
  readonly #database: Database.Database
  readonly #writer: PacedWriter
  readonly #redelivery = lazily(() => createRedelivery(this.#database, createCallOrder(this.#database)))
  readonly #histories = lazily(() => createHistoryReader(this.#database))
  readonly #rejections = lazily(() => createRejectionDesk(this.#database))
  readonly #recalls = lazily(() => createRecallDesk(this.#database, this.#writer, this.#path))
  readonly #probes = lazily(() => createProbeDesk(this.#database, this.#writer, this.#path))
  readonly #reconciliation = lazily(() => createReconciliationStore(this.#database))

  /**
   * Throws `outbox_unusable` where there is no outbox at `path` (it creates none), or a newer version's. On an older one, what
   * writes rejects with that code, and so does what reads more than there is.
   */
  static open(path: string, pacing: PacedWriterOptions = {}): SqliteOperator {
    const outbox = openExisting(path)
    try {
      outbox.assertReadable()
      return new SqliteOperator(path, outbox, pacing)
    } catch (error) {
      outbox.close()
      throw error
    }
  }

  private constructor(path: string, outbox: ExistingOutbox, pacing: PacedWriterOptions) {
    this.#path = path
    this.#outbox = outbox
    this.#database = outbox.database
    this.#writer = new PacedWriter(outbox.database, { ...pacing, assertWritable: outbox.assertWritable })
  }

  async findDeliveries(filter: DeliveryFilter): Promise<FoundDelivery[]> {
    return this.#find(filter)
  }

  async listDeliveries(
    filter: DeliveryFilter,
    limit: number,
    before?: Pick<DeliverySummary, 'deliveryId'>,
  ): Promise<DeliverySummary[]> {
    const { sql, parameters } = this.#deliveries(filter, before?.deliveryId)
    const rows = this.#database
      .prepare(`${sql} order by deliveryId desc limit @limit`)
      .all({ ...parameters, limit }) as DeliveryRow[]
    return rows.map(deliverySummary)
  }

  async showDelivery(deliveryId: number): Promise<DeliveryHistory | null> {
    return this.#snapshot(() => this.#histories().delivery(deliveryId))
  }

  async retryDeliveries(filter: DeliveryFilter, now: number): Promise<number> {
    return this.#change({ ...filter, hasBody: true }, (deliveryId) => this.#redelivery().retry(deliveryId, now))
  }

  async cancelDeliveries(filter: DeliveryFilter, now: number): Promise<number> {
    return this.#change(filter, (deliveryId) => this.#redelivery().cancel(deliveryId, now))
  }

  async moveDeliveries(filter: DeliveryFilter, to: NewDelivery, now: number): Promise<number> {
    return this.#change(filter, (deliveryId) => this.#redelivery().move(deliveryId, to, now))
  }

  async countEvents(filter: EventFilter): Promise<number> {
    const { sql, parameters } = eventCondition(filter)
    return this.#database.prepare(`select count(*) from events e where ${sql}`).pluck().get(parameters) as number
  }

  async listEvents(filter: EventFilter, limit: number, before?: Pick<ListedEvent, 'eventId'>): Promise<ListedEvent[]> {
    return createListReader(this.#database).events(filter, limit, before)
  }

  async findEvents(prefix: string, limit: number): Promise<string[]> {
    return this.#histories().eventIds(prefix, limit)
  }

  async listCalls(
    filter: EventFilter,
    limit: number,
    before?: Pick<CallSummary, 'lastEventId'>,
  ): Promise<CallSummary[]> {
    return createListReader(this.#database).calls(filter, limit, before)
  }

  async showEvent(eventId: string): Promise<(EventHistory & { body: Uint8Array | null }) | null> {
    return this.#snapshot(() => this.#histories().event(eventId))
  }

  async showCall(callId: string): Promise<EventHistory[]> {
    return this.#snapshot(() => this.#histories().call(callId))
  }

  async findCalls(prefix: string, limit: number): Promise<string[]> {
    return this.#histories().callIds(prefix, limit)
  }

  async readEvents(filter: EventFilter, after: number, limit: number): Promise<StoredEvent[]> {
    const { sql, parameters } = eventCondition(filter)
    return this.#database
      .prepare(`
      select e.event_seq as eventSeq, ${EVENT}, b.body
      from events e
      join event_bodies b on b.event_seq = e.event_seq
      where e.event_seq > @after and ${sql}
      order by e.event_seq
      limit @limit`)
      .all({ ...parameters, after, limit }) as StoredEvent[]
  }

  async replay(replays: readonly Replay[], now: number): Promise<number> {
    const deliveries = replays.flatMap((replay) => replay.deliveries.map((delivery) => ({ ...replay, delivery })))
    let replayed = 0
    await this.#writer.each(deliveries, ({ eventSeq, delivery }) => {
      if (this.#redelivery().deliver(eventSeq, delivery, now)) replayed += 1
    })
    return replayed
  }

  async findRejections(filter: RejectionFilter): Promise<number[]> {
    return this.#rejections().find(filter)
  }

  async listRejections(
    filter: RejectionFilter,
    limit: number,
    before?: Pick<RejectionSummary, 'rejectionId' | 'receivedAt'>,
  ): Promise<RejectionSummary[]> {
    return this.#rejections().list(filter, limit, before)
  }

  async readRejections(rejectionIds: readonly number[]): Promise<StoredRejection[]> {
    return this.#rejections().read(rejectionIds)
  }

  async admit(admissions: readonly Admission[], now: number): Promise<Admitted[]> {
    const admitted: Admitted[] = []
    await this.#writer.each(admissions, (admission) => admitted.push(...this.#rejections().admit([admission], now)))
    return admitted
  }

  async clearRejections(filter: RejectionFilter): Promise<number> {
    let cleared = 0
    await this.#writer.each(this.#rejections().find(filter), (rejectionId) => {
      cleared += this.#rejections().clear({ ...filter, rejectionIds: [rejectionId] })
    })
    return cleared
  }

  async record(event: NewEvent, deliveries: readonly NewDelivery[]): Promise<Omit<Recorded, 'leased'>> {
    const { ready: _, ...recorded } = await this.#writer.write(() =>
      createEventStore(this.#database, createCallOrder(this.#database)).record(event, deliveries),
    )
    return recorded
  }

  async missingEvents(account: string, events: readonly ExpectedEvent[]): Promise<ExpectedEvent[]> {
    return this.#snapshot(() => this.#reconciliation().missingEvents(account, events))
  }

  async sweep(name: string): Promise<Sweep | null> {
    return this.#reconciliation().sweep(name)
  }

  async saveSweep(name: string, sweep: Sweep, now: number): Promise<void> {
    await this.#writer.write(() => this.#reconciliation().saveSweep(name, sweep, now))
  }

  async saveGaps(source: string, events: readonly ExpectedEvent[], now: number): Promise<void> {
    await this.#writer.write(() => this.#reconciliation().saveGaps(source, events, now))
  }

  async provider(): Promise<ProviderReport[]> {
    return createReconciliationReader(this.#database).provider()
  }

  async listGaps(limit: number, callPrefix?: string, before?: Gap): Promise<Gap[]> {
    return createReconciliationReader(this.#database).listGaps(limit, callPrefix, before)
  }

  async setPaused(target: string, paused: boolean, now: number): Promise<void> {
    await this.#writer.write(() => createTargetStateStore(this.#database).setPaused(target, paused, now))
  }

  async listTargets(now: number): Promise<TargetSummary[]> {
    return this.#snapshot(() => targetSummaries(this.#database, now))
  }

  async isOnRecord(what: 'target' | 'source', name: string): Promise<boolean> {
    const tables = what === 'target' ? ['live_deliveries', 'finished_deliveries'] : ['events', 'rejections']
    return tables.some(
      (table) =>
        this.#database.prepare(`select 1 from ${table} where ${what} = @name limit 1`).get({ name }) !== undefined,
    )
  }

  async status(now: number): Promise<OutboxStatus> {
    return this.#snapshot(() => outboxStatus(this.#database, this.#path, now))
  }

  async newestEntries(filter: JournalFilter, count: number): Promise<JournalPage> {
    return this.#snapshot(() => newestEntries(this.#database, filter, count))
  }

  async entriesAfter(filter: JournalFilter, position: JournalPosition): Promise<JournalPage> {
    return this.#snapshot(() => entriesAfter(this.#database, filter, position))
  }

  async daemon(): Promise<(DaemonState & { running: boolean }) | null> {
    const state = createDaemonStateStore(this.#database).daemonState()
    return state && { ...state, running: isLocked(this.#path) }
  }

  async requestReload(): Promise<number> {
    return this.#writer.write(() => createDaemonStateStore(this.#database).requestReload())
  }

  async requestRecall(): Promise<number | null> {
    return this.#recalls().requestRecall()
  }

  async recallAnswer(request: number): Promise<readonly SentDelivery[] | null> {
    return this.#recalls().recallAnswer(request)
  }

  async requestProbe(target: string, now: number): Promise<number | null> {
    return this.#probes().requestProbe(target, now)
  }

  async probeResult(target: string, request: number): Promise<ProbeResult | null> {
    return this.#probes().probeResult(target, request)
  }

  async lastAttempt(): Promise<number> {
    return this.#recalls().lastAttempt()
  }

  async cancelledButDelivered(lastAttempt: number): Promise<readonly SentDelivery[]> {
    return this.#recalls().cancelledButDelivered(lastAttempt)
  }

  async clock(reading: ClockReading): Promise<ClockTrust> {
    return this.#snapshot(() => createClockTrustStore(this.#database).judgeClock(reading))
  }

  async confirmClock(reading: ClockReading): Promise<void> {
    await this.#writer.write(() => createClockTrustStore(this.#database).confirmClock(reading))
  }

  async secretUses(source: string): Promise<SecretUse[]> {
    return createSecretUseStore(this.#database).secretUses(source)
  }

  async close(): Promise<void> {
    this.#outbox.close()
  }

  /** In steps, each of which checks the whole filter again: the daemon works on meanwhile. Returns to how many it was done. */
  async #change(filter: DeliveryFilter, change: (deliveryId: number) => boolean): Promise<number> {
    const ids = this.#find(filter).map(({ deliveryId }) => deliveryId)
    const pieces = Array.from({ length: Math.ceil(ids.length / LOOKED_UP) }, (_, n) =>
      ids.slice(n * LOOKED_UP, (n + 1) * LOOKED_UP),
    )
    let changed = 0
    await this.#writer.each(pieces, (deliveryIds) => {
      changed += this.#find({ ...filter, deliveryIds }).filter(({ deliveryId }) => change(deliveryId)).length
    })
    return changed
  }

  #find(filter: DeliveryFilter): FoundDelivery[] {
    const { sql, parameters } = this.#deliveries(filter)
    return this.#database
      .prepare(`select deliveryId, target from (${sql}) order by deliveryId`)
      .all(parameters) as FoundDelivery[]
  }

  /** The deliveries of a filter, from the tables that its states are in. */
  #deliveries(
    { states, ...filter }: DeliveryFilter,
    before?: number,
  ): { sql: string; parameters: Record<string, unknown> } {
    const { sql, parameters } = deliveryCondition(filter, before)
    const finished = states?.filter((state) => state !== 'pending')
    const halves = []
    if (states === undefined || states.includes('pending')) halves.push(`${UNFINISHED} where ${sql}`)
    if (finished === undefined) halves.push(`${FINISHED} where ${sql}`)
    // One by one, and not as parameters, so that the partial index on the dead ones can be used.
    for (const state of new Set(finished)) halves.push(`${FINISHED} where ${sql} and d.state = '${state}'`)
    return { sql: halves.join(' union all ') || `${UNFINISHED} where false`, parameters }
  }

  /** For what takes several reads: all of them see the same moment. */
  #snapshot<T>(read: () => T): T {
    return this.#database.transaction(read).deferred()
  }
}

/** Made when it is first used: an older schema may lack what its queries need, and still answer others. */
function lazily<T>(make: () => T): () => T {
  let made: T | undefined
  return () => {
    made ??= make()
    return made
  }
}
