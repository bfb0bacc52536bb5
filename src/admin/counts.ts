import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import { REJECTION_REASONS } from '../documents/rejection-causes.ts'
import type { Attempt, Delivery } from '../domain/delivery.ts'
import type { RefusalCode } from '../domain/errors.ts'
import type { NewEvent, Origin } from '../domain/event.ts'
import { HANDSHAKE_FAILURES, type HandshakeFailureReason } from '../domain/handshake-failure.ts'
import { RELAY_SOURCE } from '../domain/relay-events.ts'

/** The source of refused requests that were for none. */
const NO_SOURCE = ''

const ORIGINS: readonly Origin[] = ['webhook', 'reconcile', 'relay']
const OUTCOMES: readonly Attempt['outcome'][] = ['delivered', 'failed', 'refused']

interface Increment {
  inc(): void
}

interface TargetCounts {
  readonly outcomes: Readonly<Record<Attempt['outcome'], Increment>>
  readonly latency: { observe(seconds: number): void }
}

/**
 * What has happened since the start. Labels have only values that the configuration or the code names, and each series is there at zero
 * before anything is counted: `increase` does not see a first increment that creates its series. Those of the busy ways are
 * looked up once.
 */
export class Counts {
  readonly #recorded: Counter
  readonly #duplicates: Counter
  readonly #refused: Counter
  readonly #commitSeconds: Histogram
  readonly #commitCalls: Histogram
  readonly #attempts: Counter
  readonly #latency: Histogram
  readonly #handshakes: Counter
  readonly #runs: Counter
  readonly #gaps: Counter
  readonly #unreadable: Gauge
  readonly #targets = new Map<string, TargetCounts>()
  readonly #sources = new Map<string, Readonly<Record<Origin | 'duplicate', Increment>>>()

  constructor(registry: Registry) {
    const counter = (name: string, help: string, ...labelNames: string[]) =>
      new Counter({ name: `ultravox_relay_${name}`, help, labelNames, registers: [registry] })
    const histogram = (name: string, help: string, buckets: number[], ...labelNames: string[]) =>
      new Histogram({ name: `ultravox_relay_${name}`, help, buckets, labelNames, registers: [registry] })
    this.#recorded = counter('events_recorded_total', 'Events recorded, by how they came.', 'source', 'origin')
    this.#duplicates = counter('events_duplicate_total', 'Events that were on record already.', 'source')
    this.#refused = counter('requests_refused_total', 'Requests to the public listener not taken.', 'source', 'reason')
    this.#commitSeconds = histogram(
      'outbox_commit_duration_seconds',
      'From the hand-over of a batch of calls to the outbox until it is on disk.',
      [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    )
    this.#commitCalls = histogram(
      'outbox_commit_calls',
      'Calls to the outbox that shared a batch.',
      [1, 2, 4, 8, 16, 32, 64, 128, 256, 512],
    )
    this.#attempts = counter('attempts_total', 'Attempts to deliver, by what they came to.', 'target', 'outcome')
    this.#latency = histogram(
      'delivery_latency_seconds',
      'From the receipt of an event until a target had it; of deliveries that nobody has had tried anew.',
      [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600, 21_600, 86_400, 259_200],
      'target',
    )
    this.#handshakes = counter(
      'tls_handshakes_failed_total',
      'TLS handshakes with the public listener that failed, by reason.',
      'reason',
    )
    for (const reason of HANDSHAKE_FAILURES) this.#handshakes.inc({ reason }, 0)
    this.#runs = counter(
      'reconcile_runs_total',
      'Looks at what the provider has, by how they ended.',
      'source',
      'result',
    )
    this.#gaps = counter('reconcile_gaps_total', 'Events found that can never be had.', 'source')
    this.#unreadable = new Gauge({
      name: 'ultravox_relay_reconcile_unreadable_calls',
      help: 'Calls at Ultravox with fields that cannot be read.',
      labelNames: ['source'],
      registers: [registry],
    })
  }

  /** Counts for these as well. What has been counted for others stays. */
  expect({ sources, targets, reconciled }: Expected): void {
    for (const source of [...sources, NO_SOURCE]) {
      for (const reason of REJECTION_REASONS) this.#refused.inc({ source, reason }, 0)
    }
    for (const source of [...sources, RELAY_SOURCE]) {
      const origins = ORIGINS.map((origin) => [origin, this.#recorded.labels(source, origin)] as const)
      this.#sources.set(source, {
        ...(Object.fromEntries(origins) as Record<Origin, Increment>),
        duplicate: this.#duplicates.labels(source),
      })
      // Of the nine pairs, what a source cannot have is no series: the relay's own come by themselves only.
      const usual: Origin[] =
        source === RELAY_SOURCE ? ['relay'] : reconciled.includes(source) ? ['webhook', 'reconcile'] : ['webhook']
      for (const origin of usual) this.#recorded.inc({ source, origin }, 0)
      this.#duplicates.inc({ source }, 0)
    }
    for (const target of targets) {
      const outcomes = OUTCOMES.map((outcome) => [outcome, this.#attempts.labels(target, outcome)] as const)
      for (const outcome of OUTCOMES) this.#attempts.inc({ target, outcome }, 0)
      // A reload names the same targets again, and "zero" would reset what was counted.
      if (!this.#targets.has(target)) this.#latency.zero({ target })
      this.#targets.set(target, {
        outcomes: Object.fromEntries(outcomes) as Record<Attempt['outcome'], Increment>,
        latency: this.#latency.labels(target),
      })
    }
    for (const source of reconciled) {
      for (const result of ['completed', 'failed']) this.#runs.inc({ source, result }, 0)
      this.#gaps.inc({ source }, 0)
      this.#unreadable.inc({ source }, 0)
    }
  }

  recorded({ source, origin }: Pick<NewEvent, 'source' | 'origin'>, duplicate: boolean): void {
    this.#sources.get(source)?.[duplicate ? 'duplicate' : origin].inc()
  }

  refused(source: string | null, reason: RefusalCode): void {
    this.#refused.inc({ source: source ?? NO_SOURCE, reason })
  }

  handshakeFailed(reason: HandshakeFailureReason): void {
    this.#handshakes.inc({ reason })
  }

  committed(calls: number, ms: number): void {
    this.#commitSeconds.observe(ms / 1_000)
    this.#commitCalls.observe(calls)
  }

  attempted({ target, round, event }: Delivery, { outcome, startedAt, durationMs }: Attempt): void {
    const counts = this.#targets.get(target)
    counts?.outcomes[outcome].inc()
    if (outcome !== 'delivered' || round > 1) return
    counts?.latency.observe(Math.max(0, startedAt + durationMs - event.receivedAt) / 1_000)
  }

  reconciled(source: string, result: 'completed' | 'failed'): void {
    this.#runs.inc({ source, result })
  }

  unreadableCalls(source: string, count: number): void {
    this.#unreadable.set({ source }, count)
  }

  gaps(source: string, count: number): void {
    this.#gaps.inc({ source }, count)
  }
}

/** What the configuration names. */
export interface Expected {
  readonly sources: readonly string[]
  readonly targets: readonly string[]
  /** The sources that are reconciled. */
  readonly reconciled: readonly string[]
}
