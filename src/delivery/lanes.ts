import type { NewEvent } from '../domain/event.ts'
import type { Outbox, Recorded, TargetState } from '../outbox/outbox.ts'
import type { Lane } from './lane.ts'

export interface LanesLog {
  /** Unfinished deliveries wait for targets that the configuration no longer has. They go on when it has them again. */
  orphaned(targets: readonly string[]): void
  /** What is kept of the targets could not be read; it is tried again at the next change. */
  outboxUnavailable(target: string, error: Error): void
}

export interface LanesOptions {
  readonly lanes: ReadonlyMap<string, Lane>
  /** The targets that the configuration itself pauses. */
  readonly pausedByConfig: ReadonlySet<string>
  /** The targets that get a call's events in order. */
  readonly ordered: ReadonlySet<string>
  readonly outbox: Pick<Outbox, 'record' | 'targetStates' | 'targetsWithDeliveries'>
  readonly log: LanesLog
}

/** All the lanes there are: started, woken, paused and stopped together. */
export class Lanes {
  readonly #options: LanesOptions

  constructor(options: LanesOptions) {
    this.#options = options
  }

  /**
   * Takes up what the last run left: open breakers, paused targets, unfinished deliveries. Events may be recorded before;
   * nothing is sent before.
   */
  async start(): Promise<void> {
    const { lanes, outbox, log } = this.#options
    const states = await outbox.targetStates()
    for (const { target, breaker } of states) {
      if (breaker !== null) lanes.get(target)?.restoreBreaker(breaker)
    }
    this.#pause(states)
    const orphaned = (await outbox.targetsWithDeliveries()).filter((target) => !lanes.has(target))
    if (orphaned.length > 0) log.orphaned(orphaned)
  }

  /** Another process has written to the outbox: what is paused may have changed, and anything may be due. */
  async refresh(): Promise<void> {
    const { outbox, log } = this.#options
    try {
      this.#pause(await outbox.targetStates())
    } catch (error) {
      log.outboxUnavailable('all', error as Error)
    }
  }

  #pause(states: readonly TargetState[]): void {
    const { lanes, pausedByConfig } = this.#options
    const paused = new Set(states.filter(({ paused }) => paused).map(({ target }) => target))
    for (const [name, lane] of lanes) lane.setPaused(pausedByConfig.has(name) || paused.has(name))
  }

  /**
   * Records an event with a delivery for each of these targets, and sees to it that they go out. A lane with nothing else
   * to do gets its delivery straight from the commit; the others are woken and claim it.
   */
  async record(event: NewEvent, targets: readonly string[]): Promise<Recorded> {
    const { lanes, ordered, outbox } = this.#options
    const deliveries = targets.map((target) => {
      return { target, ordered: ordered.has(target), lease: lanes.get(target)?.reserve() ?? false }
    })
    let recorded: Recorded | undefined
    try {
      recorded = await outbox.record(event, deliveries)
      return recorded
    } finally {
      const leased = new Map(recorded?.leased.map((delivery) => [delivery.target, delivery]))
      for (const { target, lease } of deliveries) {
        const lane = lanes.get(target)
        const delivery = leased.get(target)
        if (delivery !== undefined) lane?.send(delivery)
        else if (lease) lane?.cancelReservation()
        else if (recorded?.duplicate === false) lane?.wake()
      }
    }
  }

  /** See `Lane.stop`. */
  async stop(graceMs: number): Promise<void> {
    await Promise.all([...this.#options.lanes.values()].map((lane) => lane.stop(graceMs)))
  }
}
