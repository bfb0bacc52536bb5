import { Worker } from 'node:worker_threads'
import type Database from 'better-sqlite3'
import type { AttachmentKind } from '../../domain/attachments.ts'
import { systemStopwatch } from '../../domain/clock.ts'
import type { ClockReading, ClockTrust } from '../../domain/clock-trust.ts'
import type { Attempt, Delivery, NewDelivery, Settlement } from '../../domain/delivery.ts'
import { errorMessage, RelayError } from '../../domain/errors.ts'
import type { NewEvent } from '../../domain/event.ts'
import type { KeptAttachment } from '../attachments.ts'
import type {
  AttemptPage,
  AttemptUnderWay,
  Claim,
  ClaimOptions,
  Creation,
  DaemonState,
  HeldBacklog,
  NewestEvent,
  OpenBreaker,
  Outbox,
  OutboxOrigin,
  ProbeRequest,
  ProbeResult,
  Recorded,
  Rejection,
  SavedThrottle,
  Settled,
  Tally,
  TargetSettings,
  TargetState,
} from '../outbox.ts'
import type {
  AwaitedCall,
  Coverage,
  DueCall,
  ExpectedEvent,
  ProviderState,
  Sweep,
  UntoldGaps,
} from '../reconciliation.ts'
import type { Pruned, RetentionPolicy } from '../retention.ts'
import type { Call, Reply } from './batch.ts'
import { fromFault } from './faults.ts'
import { pack, type ToWorker } from './packing.ts'
import { openWitness } from './witness.ts'
import type { FromWorker, WorkerInput } from './worker.ts'

interface Waiting {
  readonly call: Call
  readonly resolve: (value: never) => void
  readonly reject: (error: RelayError) => void
}

/** The thread that owns the database, as far as it is used. */
export interface OutboxThread {
  postMessage(message: ToWorker, transfer: ArrayBuffer[]): void
  on(event: 'message', listener: (message: FromWorker) => void): unknown
  on(event: 'error', listener: (error: unknown) => void): unknown
}

/** What an outbox reports. Each may be absent. */
export interface OutboxObserver {
  /** Another process has written to the outbox, within about the last second. */
  readonly onChange?: () => void
  /** A batch of `calls` calls is on disk, `ms` milliseconds after it was sent. */
  readonly onBatch?: (calls: number, ms: number) => void
  /** A command asks for a reload; with the number of its request, see `OutboxOperator.requestReload`. */
  readonly onReloadRequest?: (request: number) => void
  /**
   * A command asks for a recall; with the number of its request, see `RecallDesk`. All claims and records that were answered
   * before the thread saw the request have reached the callers. Those answered later have seen what the command had committed.
   */
  readonly onRecallRequest?: (request: number) => void
  /** The lock file was removed, once: the outbox still works, but has to be closed, for another daemon may be waiting. */
  readonly onEvicted?: (error: RelayError) => void
}

export interface OpenOptions {
  readonly creation?: Creation
  readonly program?: URL
}

/** So many calls are sent without waiting for more: the thread has something to do while the event loop reads on. */
const CHUNK = 16
/** What the thread makes is soon done with: with more, it only keeps memory that it had in use once. */
const YOUNG_MB = 8
/** While the thread commits, calls wait so long for others: to send each by itself was an eighth of a delivery's time. */
const GATHERED_FOR_MS = 1

/**
 * The outbox on SQLite. What comes while the thread commits a batch is the next one: the group commit. The busier it is, the
 * larger the batches and the fewer the fsyncs per call.
 */
export class SqliteOutbox implements Outbox {
  /** Null where the thread was not opened by `open`. */
  readonly origin: OutboxOrigin | null
  readonly #thread: OutboxThread
  readonly #onFailure: (error: RelayError) => void
  readonly #observer: OutboxObserver
  #waiting: Waiting[] = []
  /** Sent, in the order in which they will be answered. */
  #underway: Waiting[] = []
  #soon: NodeJS.Immediate | undefined
  #later: NodeJS.Timeout | undefined
  #sentAt = 0
  #failure: RelayError | undefined
  /** Set once closing has begun. */
  #closing: Promise<void> | undefined
  #closed: () => void = () => {}
  #onClosed: () => void = () => {}
  /** Set once the thread has closed the database. */
  #isClosed = false

  /**
   * Opens the outbox file at `path`, creating it where there is none and `creation` allows it. `onFailure` is called once if,
   * later on, the storage can no longer be trusted; from then on every call rejects with `outbox_failed`. `program` is the
   * thread's; a test gives another one.
   */
  static async open(
    path: string,
    onFailure: (error: RelayError) => void,
    observer: OutboxObserver = {},
    { creation = 'if mounted', program = new URL('./worker.js', import.meta.url) }: OpenOptions = {},
  ): Promise<SqliteOutbox> {
    // execArgv: flags of the process, such as a test runner's hooks, would only make the thread start slowly.
    const workerData: WorkerInput = { path, creation }
    const options = { workerData, execArgv: [], resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB } }
    const worker = new Worker(program, options)
    const origin = await new Promise<OutboxOrigin | null>((resolve, reject) => {
      const ended = () => reject(new RelayError('outbox_unusable', 'outbox: its thread ended while it was opened'))
      worker.once('error', reject)
      worker.once('exit', ended)
      worker.once('message', (message: FromWorker) => {
        worker.off('error', reject)
        worker.off('exit', ended)
        if (message.kind === 'failed') reject(fromFault(message.fault))
        else resolve(message.kind === 'open' ? message.origin : null)
      })
    })
    let witness: Database.Database | null = null
    const failed = (error: RelayError) => {
      // The process will exit, and end the threads in any order: that of the operator's connection must not checkpoint.
      witness = openWitness(path)
      onFailure(error)
    }
    const outbox = new SqliteOutbox(worker, failed, observer, origin)
    outbox.#onClosed = () => witness?.close()
    worker.once('exit', () => {
      if (!outbox.#isClosed) outbox.#fail(new RelayError('outbox_failed', 'outbox: its thread has ended'))
    })
    return outbox
  }

  /** Over a thread that has its database open; see `open`. */
  constructor(
    thread: OutboxThread,
    onFailure: (error: RelayError) => void,
    observer: OutboxObserver = {},
    origin: OutboxOrigin | null = null,
  ) {
    this.origin = origin
    this.#thread = thread
    this.#onFailure = onFailure
    this.#observer = observer
    thread.on('message', (message) => {
      if (message.kind === 'changed') observer.onChange?.()
      else if (message.kind === 'reload') observer.onReloadRequest?.(message.request)
      // Once the answers that came before it have been dealt with, down to what awaits them.
      else if (message.kind === 'recall') setImmediate(() => observer.onRecallRequest?.(message.request))
      else if (message.kind === 'evicted') observer.onEvicted?.(fromFault(message.fault))
      else this.#receive(message)
    })
    thread.on('error', (error) => this.#fail(new RelayError('outbox_failed', `outbox: ${errorMessage(error)}`)))
  }

  async record(event: NewEvent, deliveries: readonly NewDelivery[]): Promise<Recorded> {
    const recorded = await this.#call<Recorded>({ method: 'record', args: [event, deliveries] })
    if (recorded.leased.length === 0) return recorded
    // The body does not come back from the worker: it is here already.
    const withBody = (delivery: Delivery) => ({ ...delivery, event: { ...delivery.event, body: event.body } })
    return { ...recorded, leased: recorded.leased.map(withBody) }
  }

  reject(rejection: Rejection): Promise<void> {
    return this.#call({ method: 'reject', args: [rejection] })
  }

  claim(target: string, limit: number, now: number, options: ClaimOptions = {}): Promise<Claim> {
    return this.#call({ method: 'claim', args: [target, limit, now, options] })
  }

  settle(delivery: Delivery, attempt: Attempt, settlement: Settlement): Promise<Settled> {
    return this.#call({ method: 'settle', args: [withoutBody(delivery), attempt, settlement] })
  }

  release(delivery: Delivery): Promise<void> {
    return this.#call({ method: 'release', args: [withoutBody(delivery)] })
  }

  applyTargets(targets: readonly TargetSettings[], now: number): Promise<readonly string[]> {
    return this.#call({ method: 'applyTargets', args: [targets, now] })
  }

  suspendTargets(now: number): Promise<void> {
    return this.#call({ method: 'suspendTargets', args: [now] })
  }

  skipTime(ms: number): Promise<void> {
    return this.#call({ method: 'skipTime', args: [ms] })
  }

  targetStates(): Promise<TargetState[]> {
    return this.#call({ method: 'targetStates', args: [] })
  }

  saveThrottle(target: string, throttle: SavedThrottle | null, now: number): Promise<void> {
    return this.#call({ method: 'saveThrottle', args: [target, throttle, now] })
  }

  saveBreaker(target: string, breaker: OpenBreaker | null, now: number): Promise<void> {
    return this.#call({ method: 'saveBreaker', args: [target, breaker, now] })
  }

  oldestDueAt(target: string, now: number): Promise<number | null> {
    return this.#call({ method: 'oldestDueAt', args: [target, now] })
  }

  heldBacklog(target: string): Promise<HeldBacklog | null> {
    return this.#call({ method: 'heldBacklog', args: [target] })
  }

  tally(targets: readonly string[], now: number): Promise<Tally> {
    return this.#call({ method: 'tally', args: [targets, now] })
  }

  attemptsBefore(before: number | null, since: number, limit: number): Promise<AttemptPage> {
    return this.#call({ method: 'attemptsBefore', args: [before, since, limit] })
  }

  targetsWithDeliveries(): Promise<string[]> {
    return this.#call({ method: 'targetsWithDeliveries', args: [] })
  }

  saveDaemon(state: DaemonState): Promise<void> {
    return this.#call({ method: 'saveDaemon', args: [state] })
  }

  answerRecall(request: number, underWay: readonly AttemptUnderWay[]): Promise<void> {
    return this.#call({ method: 'answerRecall', args: [request, underWay] })
  }

  probeRequests(): Promise<ProbeRequest[]> {
    return this.#call({ method: 'probeRequests', args: [] })
  }

  answerProbe(target: string, request: number, result: ProbeResult): Promise<void> {
    return this.#call({ method: 'answerProbe', args: [target, request, result] })
  }

  newestEvents(source: string, names: readonly string[], limit: number): Promise<NewestEvent[]> {
    return this.#call({ method: 'newestEvents', args: [source, names, limit] })
  }

  saveSecretUse(source: string, fingerprint: string, at: number): Promise<void> {
    return this.#call({ method: 'saveSecretUse', args: [source, fingerprint, at] })
  }

  missingEvents(account: string, events: readonly ExpectedEvent[]): Promise<ExpectedEvent[]> {
    return this.#call({ method: 'missingEvents', args: [account, events] })
  }

  sweep(name: string): Promise<Sweep | null> {
    return this.#call({ method: 'sweep', args: [name] })
  }

  saveSweep(name: string, sweep: Sweep, now: number): Promise<void> {
    return this.#call({ method: 'saveSweep', args: [name, sweep, now] })
  }

  saveGaps(source: string, events: readonly ExpectedEvent[], now: number): Promise<void> {
    return this.#call({ method: 'saveGaps', args: [source, events, now] })
  }

  awaitedOf(source: string, callIds: readonly string[]): Promise<AwaitedCall[]> {
    return this.#call({ method: 'awaitedOf', args: [source, callIds] })
  }

  saveAwaited(source: string, calls: readonly AwaitedCall[]): Promise<void> {
    return this.#call({ method: 'saveAwaited', args: [source, calls] })
  }

  forgetAwaited(source: string, dueBy: number, createdBefore: number): Promise<void> {
    return this.#call({ method: 'forgetAwaited', args: [source, dueBy, createdBefore] })
  }

  dueCalls(source: string, dueBy: number, limit: number): Promise<DueCall[]> {
    return this.#call({ method: 'dueCalls', args: [source, dueBy, limit] })
  }

  coverage(name: string): Promise<Coverage | null> {
    return this.#call({ method: 'coverage', args: [name] })
  }

  saveCoverage(name: string, coverage: Coverage): Promise<void> {
    return this.#call({ method: 'saveCoverage', args: [name, coverage] })
  }

  providerState(source: string): Promise<ProviderState | null> {
    return this.#call({ method: 'providerState', args: [source] })
  }

  untoldGaps(source: string, limit: number): Promise<UntoldGaps> {
    return this.#call({ method: 'untoldGaps', args: [source, limit] })
  }

  gapsTold(source: string, until: number): Promise<void> {
    return this.#call({ method: 'gapsTold', args: [source, until] })
  }

  saveProviderState(source: string, state: ProviderState, now: number): Promise<void> {
    return this.#call({ method: 'saveProviderState', args: [source, state, now] })
  }

  attachment(eventId: string, kind: AttachmentKind): Promise<KeptAttachment | null> {
    return this.#call({ method: 'attachment', args: [eventId, kind] })
  }

  saveAttachment(eventId: string, kind: AttachmentKind, attachment: KeptAttachment): Promise<void> {
    return this.#call({ method: 'saveAttachment', args: [eventId, kind, attachment] })
  }

  isPending(deliveryId: number, round: number): Promise<boolean> {
    return this.#call({ method: 'isPending', args: [deliveryId, round] })
  }

  eventsWithRecording(): Promise<string[]> {
    return this.#call({ method: 'eventsWithRecording', args: [] })
  }

  prune(policy: RetentionPolicy, now: number): Promise<Pruned> {
    return this.#call({ method: 'prune', args: [policy, now] })
  }

  observeClock(reading: ClockReading): Promise<ClockTrust> {
    return this.#call({ method: 'observeClock', args: [reading] })
  }

  heldLogBytes(): Promise<number> {
    return this.#call({ method: 'heldLogBytes', args: [] })
  }

  /** Calls already made are still carried out; later ones are refused. */
  close(): Promise<void> {
    if (this.#closing === undefined) {
      this.#closing = new Promise((resolve) => {
        this.#closed = resolve
      })
      this.#send()
      if (this.#failure === undefined) this.#thread.postMessage('close', [])
      else this.#closed()
      void this.#closing.then(this.#onClosed)
    }
    return this.#closing
  }

  #call<T>(call: Call): Promise<T> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    if (this.#closing !== undefined) {
      return Promise.reject(new RelayError('outbox_unavailable', 'outbox: it is being closed'))
    }
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push({ call, resolve, reject })
      if (this.#waiting.length >= CHUNK) this.#send()
      else if (this.#underway.length === 0) this.#soon ??= setImmediate(() => this.#send())
      else this.#later ??= setTimeout(() => this.#send(), GATHERED_FOR_MS)
    })
  }

  /** Sends what waits. The thread takes all that it finds as one batch. */
  #send(): void {
    clearImmediate(this.#soon)
    clearTimeout(this.#later)
    this.#soon = undefined
    this.#later = undefined
    if (this.#waiting.length === 0) return
    const packed = pack(this.#waiting.map(({ call }) => call))
    if (this.#underway.length === 0) this.#sentAt = systemStopwatch()
    this.#underway.push(...this.#waiting)
    this.#waiting = []
    this.#thread.postMessage(packed, [packed.bodies.buffer])
  }

  #receive(message: FromWorker): void {
    if (message.kind === 'failed') this.#fail(fromFault(message.fault))
    if (message.kind === 'closed') {
      this.#isClosed = true
      this.#closed()
    }
    if (message.kind === 'replies') this.#answer(message.replies)
  }

  #answer(replies: readonly Reply[]): void {
    const answered = this.#underway.splice(0, replies.length)
    const now = systemStopwatch()
    this.#observer.onBatch?.(answered.length, now - this.#sentAt)
    this.#sentAt = now
    if (this.#underway.length === 0) this.#send()
    answered.forEach(({ resolve, reject }, index) => {
      const reply = replies[index]!
      if ('fault' in reply) reject(fromFault(reply.fault))
      else resolve(reply.value as never)
    })
  }

  #fail(error: RelayError): void {
    if (this.#failure !== undefined) return
    this.#failure = error
    const lost = [...this.#underway, ...this.#waiting]
    this.#underway = []
    this.#waiting = []
    for (const { reject } of lost) reject(error)
    this.#closed()
    this.#onFailure(error)
  }
}

const NOTHING = new Uint8Array()

/** The worker has the body already. */
function withoutBody(delivery: Delivery): Delivery {
  return { ...delivery, event: { ...delivery.event, body: NOTHING } }
}
