import type { Config } from '../config/config.ts'
import { isoOrNull } from '../documents/instants.ts'
import { type TargetWait, targetWait } from '../documents/waits.ts'
import type { DeliveryFilter, DeliverySummary, EventFilter, OutboxOperator, TargetSummary } from '../outbox/operator.ts'

/** The span over which `TargetSummary.deliveredPerMinute` is measured. */
const MEASURED_MS = 5 * 60_000

/** How long a target takes for what is queued for it, as far as that is known. */
export interface Forecast {
  readonly target: string
  /** Deliveries that an action adds to the queue, or would. */
  readonly added: number
  /** Deliveries that are due or come after those in their calls, the added ones included. */
  readonly queued: number
  /** Deliveries that the action has added behind dead ones of their calls: nothing sends them before an operator acts. */
  readonly held: number
  /** What keeps all of them from being sent; null where nothing does. */
  readonly waitsFor: Exclude<TargetWait, { reason: 'backoff' | 'interrupted' | 'rate_limit' }> | null
  /** Null where no rate is known. */
  readonly rate: ForecastRate | null
  /** Null where the target waits, or no rate is known. */
  readonly durationMs: number | null
}

/** At most `max` deliveries in `perMs` milliseconds, by the configuration or as measured with a backlog. */
export interface ForecastRate {
  readonly from: 'rateLimit' | 'measured'
  readonly max: number
  readonly perMs: number
}

export type Forecaster = Pick<OutboxOperator, 'listTargets' | 'listDeliveries'>

/** The queues before an action, to forecast what it adds. */
export class QueuesBefore {
  readonly #operator: Forecaster
  readonly #config: Config
  readonly #before: ReadonlyMap<string, TargetSummary>

  private constructor(operator: Forecaster, config: Config, before: ReadonlyMap<string, TargetSummary>) {
    this.#operator = operator
    this.#config = config
    this.#before = before
  }

  static async read(operator: Forecaster, config: Config, now: number): Promise<QueuesBefore> {
    return new QueuesBefore(operator, config, byName(await operator.listTargets(now)))
  }

  /** After an action that has added so many deliveries to each target. */
  async after(added: ReadonlyMap<string, number>, now: number): Promise<Forecast[]> {
    const after = byName(await this.#operator.listTargets(now))
    return forecastsOf(added, (target, count) => {
      const { due = 0, waiting = 0, held = 0 } = after.get(target) ?? {}
      const newlyHeld = Math.max(0, held - (this.#before.get(target)?.held ?? 0))
      return this.#forecast(target, count, due + waiting, newlyHeld, now)
    })
  }

  /** Before a retry of the deliveries of a filter, so many at each target. Those in backoff would be due. */
  aheadOfRetry(planned: ReadonlyMap<string, number>, filter: DeliveryFilter, now: number): Promise<Forecast[]> {
    return this.#ahead(planned, filter, now, ({ waiting, dueAt }) => waiting || dueAt! <= now)
  }

  /** Before so many deliveries are moved to each target, which has none of their events. */
  async aheadOfMove(planned: ReadonlyMap<string, number>, now: number): Promise<Forecast[]> {
    return forecastsOf(planned, (target, count) => this.#forecastAdded(target, count, now))
  }

  /** Before a replay of the events of a filter, so many to each target. What is pending there stays as it is. */
  aheadOfReplay(planned: ReadonlyMap<string, number>, filter: EventFilter, now: number): Promise<Forecast[]> {
    return this.#ahead(planned, filter, now, () => true)
  }

  /** Before so many new events are recorded for each target. */
  async aheadOfNew(planned: ReadonlyMap<string, number>, now: number): Promise<Forecast[]> {
    return forecastsOf(planned, (target, count) => this.#forecastAdded(target, count, now))
  }

  /** `isUnchanged`: whether a pending delivery adds nothing to the queue. */
  async #ahead(
    planned: ReadonlyMap<string, number>,
    filter: DeliveryFilter,
    now: number,
    isUnchanged: (delivery: DeliverySummary) => boolean,
  ): Promise<Forecast[]> {
    const added = new Map(planned)
    for (const [target, count] of planned) {
      const { pending = 0 } = this.#before.get(target) ?? {}
      if (pending === 0 || filter.states?.includes('pending') === false) continue
      const found = await this.#operator.listDeliveries({ ...filter, target, states: ['pending'] }, count)
      added.set(target, count - found.filter(isUnchanged).length)
    }
    return forecastsOf(added, (target, count) => this.#forecastAdded(target, count, now))
  }

  #forecastAdded(target: string, added: number, now: number): Forecast {
    const { due = 0, waiting = 0 } = this.#before.get(target) ?? {}
    return this.#forecast(target, added, due + waiting + added, 0, now)
  }

  #forecast(target: string, added: number, queued: number, held: number, now: number): Forecast {
    const before = this.#before.get(target)
    const { paused = false, breaker = null, throttle = null } = before ?? {}
    const place = { paused, breaker, throttledUntil: throttle?.until ?? null, ahead: 0, starts: 0 }
    const wait = targetWait({ target, dueAt: null, lastError: null }, place, this.#config, now)
    // Without a time at which it is due, a start, and anything ahead, it is none of these.
    const waitsFor = wait as Forecast['waitsFor']
    const rate = waitsFor === null ? rateOf(target, before, this.#config, now) : null
    const durationMs = rate === null ? null : Math.round((queued / rate.max) * rate.perMs)
    return { target, added, queued, held, waitsFor, rate, durationMs }
  }
}

/** For scripts: instants in ISO. */
export function forecastDocument({ waitsFor, ...forecast }: Forecast): object {
  const instants = {
    ...(waitsFor?.reason === 'circuit' && { probeAt: isoOrNull(waitsFor.probeAt) }),
    ...(waitsFor?.reason === 'throttled' && { until: isoOrNull(waitsFor.until) }),
  }
  return { ...forecast, waitsFor: waitsFor && { ...waitsFor, ...instants } }
}

function forecastsOf(
  counts: ReadonlyMap<string, number>,
  forecast: (target: string, count: number) => Forecast,
): Forecast[] {
  return [...counts].filter(([, count]) => count > 0).map(([target, count]) => forecast(target, count))
}

/** The slower of what the configuration allows and what a target that was never idle has taken lately. */
function rateOf(
  target: string,
  before: TargetSummary | undefined,
  { targets }: Config,
  now: number,
): ForecastRate | null {
  const limit = targets[target]?.rateLimit ?? null
  const { oldestDueAt = null, deliveredPerMinute = 0 } = before ?? {}
  const wasBusy = oldestDueAt !== null && now - oldestDueAt >= MEASURED_MS && deliveredPerMinute > 0
  if (wasBusy && (limit === null || deliveredPerMinute / 60_000 < limit.max / limit.perMs)) {
    return { from: 'measured', max: deliveredPerMinute, perMs: 60_000 }
  }
  return limit && { from: 'rateLimit', ...limit }
}

function byName(summaries: readonly TargetSummary[]): ReadonlyMap<string, TargetSummary> {
  return new Map(summaries.map((summary) => [summary.target, summary]))
}
