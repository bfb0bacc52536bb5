import { isDeepStrictEqual } from 'node:util'
import type { Clock } from '../domain/clock.ts'
import type { NewEvent } from '../domain/event.ts'
import type { AttemptUnderWay, Outbox, ProbeResult, Recorded, TargetSettings, TargetState } from '../outbox/outbox.ts'
import type { Capacities } from './capacity.ts'
import type { Lane, LaneLog } from './lane.ts'

export interface LanesLog extends Pick<LaneLog, 'outboxUnavailable'> {
  /** Unfinished deliveries wait for targets that the configuration no longer has. They go on when it has them again. */
  orphaned(targets: readonly string[]): void
}

/** Pause after it could not be read what is kept of the targets. */
const REFRESH_PAUSE_MS = 1_000

/** A lane, and how the configuration treats its target's queue. */
export interface ConfiguredLane extends Omit<TargetSettings, 'target'> {
  readonly lane: Lane
}

export interface LanesOptions {
  readonly outbox: Pick<
    Outbox,
    | 'record'
    | 'applyTargets'
    | 'suspendTargets'
    | 'skipTime'
    | 'targetStates'
    | 'targetsWithDeliveries'
    | 'attemptsBefore'
  >
  /** Those that the lanes were made with. */
  readonly capacities: Capacities
  readonly clock: Clock
  readonly log: LanesLog
}

/** All the lanes there are: started, woken, paused, replaced and stopped together. */
export class Lanes {
  readonly #options: LanesOptions
  #lanes: ReadonlyMap<string, ConfiguredLane>
  /** Those of an earlier configuration whose last attempts are still under way. */
  readonly #retiring = new Set<Lane>()
  /** Installed by a start or a reload whose settings have not been applied to the outbox yet. They send nothing. */
  readonly #starting = new Set<Lane>()
  /** Those that a command pauses, as last read. */
  #pausedByCommand: ReadonlySet<string> = new Set()
  #isStarted = false
  /** The targets that were paused by command before the outbox last recorded which targets are stopped. */
  #pausesApplied: ReadonlySet<string> | undefined
  /** Whether the outbox follows the settings of `#lanes`. */
  #isApplied = false
  /** Counts what makes it necessary to apply the settings. */
  #changes = 0
  #applying: Promise<void> | undefined
  #refreshing: NodeJS.Timeout | undefined
  #stopping = false

  /** By the names of their targets. */
  constructor(lanes: ReadonlyMap<string, ConfiguredLane>, options: LanesOptions) {
    this.#lanes = lanes
    this.#options = options
    for (const { lane } of lanes.values()) this.#starting.add(lane)
  }

  /** The lane of a target, if it has one. */
  lane(target: string): Lane | undefined {
    return this.#lanes.get(target)?.lane
  }

  /**
   * Takes up what the last run left: open breakers, paused targets, unfinished deliveries. Events may be recorded before;
   * nothing is sent before. Does not wait for targets whose deliveries take longer to be brought in line: they begin when that
   * is done.
   */
  async start(): Promise<void> {
    await this.#restoreRates()
    const states = await this.#readStates()
    await Promise.all(states.map((state) => this.#restoreBreaker(state)))
    for (const { target, throttle } of states) {
      if (throttle !== null) this.#lanes.get(target)?.lane.restoreThrottle(throttle)
    }
    this.#isStarted = true
    await this.#applyStep()
    if (!this.#isApplied) void this.refresh()
    await this.#tellOrphaned()
  }

  /** As after a reload, a target whose configuration has changed since its circuit opened is tried at once. */
  async #restoreBreaker({ target, breaker }: TargetState): Promise<void> {
    const lane = this.#lanes.get(target)?.lane
    if (breaker === null || lane === undefined) return
    const isSame = breaker.configHash === undefined || (await lane.hasConfigHash(breaker.configHash))
    const probeAt = isSame ? breaker.probeAt : Math.min(breaker.probeAt, this.#options.clock.now())
    lane.restoreBreaker({ ...breaker, probeAt })
  }

  /**
   * Makes ready to work with other lanes. The call of what this returns puts them in the place of those there are; ones
   * that are among them go on as they are, the others start nothing more and end. Rejects as the outbox does, and then
   * nothing has changed.
   */
  async prepare(lanes: ReadonlyMap<string, ConfiguredLane>, now: number): Promise<() => void> {
    await this.#restoreRates()
    const states = await this.#readStates()
    return () => {
      // Nothing would stop lanes that are installed behind its back.
      if (this.#stopping) return void this.discard(lanes)
      const kept = new Set([...lanes.values()].map(({ lane }) => lane))
      const left = [...this.#lanes].filter(([, { lane }]) => !kept.has(lane))
      const previous = new Set([...this.#lanes.values()].map(({ lane }) => lane))
      for (const { target, breaker, throttle } of states) {
        const lane = lanes.get(target)?.lane
        // A target that was there has its throttle in its capacity.
        if (throttle !== null && !this.#lanes.has(target)) lane?.restoreThrottle(throttle)
        // What was changed may well have been what was wrong with the target: it is tried at once.
        if (breaker !== null && lane !== undefined && !previous.has(lane)) {
          lane.restoreBreaker({ ...breaker, probeAt: Math.min(breaker.probeAt, now) })
        }
      }
      this.#lanes = lanes
      for (const lane of kept) if (!previous.has(lane)) this.#starting.add(lane)
      for (const [target, { lane }] of left) this.#retire(target, lane)
      this.#mustApply()
      this.#pause()
      void this.#tellOrphaned()
      // An operator may have paused a target since the states were read.
      void this.refresh()
    }
  }

  #restoreRates(): Promise<void> {
    const { capacities, outbox, clock } = this.#options
    return capacities.restore(outbox, clock.now())
  }

  #mustApply(): void {
    this.#isApplied = false
    this.#changes += 1
  }

  /** Brings the unfinished deliveries in line with the configuration; one at a time, however often it is called. */
  async #apply(): Promise<void> {
    // After the end of the last lane, all are suspended.
    while (!this.#isApplied && !this.#stopping) {
      this.#applying ??= this.#applyStep().finally(() => {
        this.#applying = undefined
      })
      await this.#applying
    }
  }

  /** A lane that is new sends nothing before its target's deliveries are in line, in the wrong order for one. */
  async #applyStep(): Promise<void> {
    const { outbox, clock } = this.#options
    const [lanes, changes] = [this.#lanes, this.#changes]
    const settings = [...lanes].map(([target, { lane: _, ...rest }]) => ({ ...rest, target }))
    const unfinished = new Set(await outbox.applyTargets(settings, clock.now()))
    // A reload meanwhile begins again.
    if (lanes !== this.#lanes) return
    const begun = [...lanes].filter(([target, { lane }]) => !unfinished.has(target) && this.#starting.delete(lane))
    if (begun.length > 0) this.#pause()
    if (unfinished.size === 0 && changes === this.#changes) this.#isApplied = true
  }

  /**
   * Another process has written to the outbox: what is paused or claimed may have changed, and anything may be due. What
   * cannot be read now is read a little later, because no other notice follows.
   */
  async refresh(): Promise<void> {
    const { log } = this.#options
    clearTimeout(this.#refreshing)
    if (this.#stopping) return
    for (const lane of this.#all()) lane.dropClaimed()
    try {
      await this.#readStates()
      this.#pause()
      // A target counts as stopped from when its lane sends nothing.
      if (!isDeepStrictEqual(this.#pausedByCommand, this.#pausesApplied)) this.#mustApply()
      this.#pausesApplied = this.#pausedByCommand
      await this.#apply()
    } catch (error) {
      log.outboxUnavailable('all', error as Error)
      clearTimeout(this.#refreshing)
      if (!this.#stopping) this.#refreshing = setTimeout(() => void this.refresh(), REFRESH_PAUSE_MS)
    }
  }

  /**
   * A command has changed deliveries or paused a target, and waits until nothing else can be started. Gives back all that is
   * claimed, starts no more for paused targets, and resolves with the attempts that are then under way. Rejects as the outbox
   * does.
   */
  async recall(): Promise<AttemptUnderWay[]> {
    for (const lane of this.#all()) lane.dropClaimed()
    await this.#readStates()
    if (this.#isStarted) this.#pause()
    return this.#all().flatMap((lane) => lane.attemptsUnderWay())
  }

  /** Makes one attempt at a target now; see `Lane.probe`. */
  async probe(target: string): Promise<ProbeResult> {
    const lane = this.lane(target)
    if (lane === undefined) return { outcome: 'not_configured' }
    return this.#starting.has(lane) ? { outcome: 'interrupted' } : lane.probe()
  }

  /**
   * Records an event with a delivery for each of these targets, and sees to it that they go out. A lane with nothing else
   * to do gets its delivery straight from the commit; the others are woken and claim it.
   */
  async record(event: NewEvent, targets: readonly string[]): Promise<Recorded> {
    const asked = targets.map((target) => {
      const { lane, order = 'none' } = this.#lanes.get(target) ?? {}
      // What quotes another event may be recorded with another body.
      const lease = event.quotes === undefined && (lane?.reserve(event.body.byteLength) ?? false)
      return { lane, delivery: { target, ordered: order !== 'none', lease } }
    })
    let recorded: Recorded | undefined
    try {
      const deliveries = asked.map(({ delivery }) => delivery)
      recorded = await this.#options.outbox.record(event, deliveries)
      return recorded
    } finally {
      for (const { lane, delivery } of asked) {
        const { target, lease } = delivery
        const own = lease ? recorded?.leased.find((leased) => leased.target === target) : undefined
        if (own !== undefined) lane?.send(own)
        else if (lease) lane?.cancelReservation(event.body.byteLength)
        const now = this.#lanes.get(target)?.lane
        // One that has been replaced meanwhile gives back what it was leased.
        if (recorded?.targets.includes(target) && (!lease || recorded.duplicate || now !== lane)) now?.wake()
      }
    }
  }

  /** For how long the outbox has owed one of them an answer; 0 where it owes none. */
  unansweredMs(now: number): number {
    return Math.max(0, ...this.#all().map((lane) => lane.unansweredMs(now)))
  }

  /** Ends lanes that were prepared and do not come into use. Those in use go on. */
  async discard(lanes: ReadonlyMap<string, ConfiguredLane>): Promise<void> {
    const used = new Set(this.#all())
    const unused = [...lanes.values()].filter(({ lane }) => !used.has(lane))
    await Promise.all(unused.map(({ lane }) => lane.stop(0)))
  }

  /** Nothing could be sent for this long: the process was frozen, the machine suspended, or its clock set forward. */
  skipTime(ms: number): void {
    const { outbox, log } = this.#options
    for (const lane of this.#all()) lane.skipTime(ms)
    // It comes before whatever the lanes ask for from now on. If it cannot be kept, deliveries have less time.
    outbox.skipTime(ms).catch((error) => log.outboxUnavailable('all', error as Error))
  }

  /** See `Lane.stop`. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true
    clearTimeout(this.#refreshing)
    await Promise.all(this.#all().map((lane) => lane.stop(graceMs)))
    // Not waited for: the outbox carries out what it was asked before it closes, and a stop has a bound.
    const { outbox, clock, log } = this.#options
    outbox.suspendTargets(clock.now()).catch((error) => log.outboxUnavailable('all', error as Error))
  }

  #all(): Lane[] {
    return [...[...this.#lanes.values()].map(({ lane }) => lane), ...this.#retiring]
  }

  /** It wakes the lane that has come in its place whenever one of its attempts ends. */
  #retire(target: string, lane: Lane): void {
    this.#retiring.add(lane)
    this.#starting.delete(lane)
    if (!this.#lanes.has(target)) lane.setPaused(true)
    void lane.stop(null).then(() => this.#retiring.delete(lane))
  }

  /** The outbox answers in the order of the questions, so what is read last is the newest. */
  async #readStates(): Promise<TargetState[]> {
    const states = await this.#options.outbox.targetStates()
    this.#pausedByCommand = pausedByCommand(states)
    return states
  }

  #pause(): void {
    for (const [target, { lane, paused }] of this.#lanes) {
      if (!this.#starting.has(lane)) lane.setPaused(paused || this.#pausedByCommand.has(target))
    }
  }

  async #tellOrphaned(): Promise<void> {
    const { outbox, log } = this.#options
    try {
      const orphaned = (await outbox.targetsWithDeliveries()).filter((target) => !this.#lanes.has(target))
      if (orphaned.length > 0) log.orphaned(orphaned)
    } catch (error) {
      log.outboxUnavailable('all', error as Error)
    }
  }
}

function pausedByCommand(states: readonly TargetState[]): ReadonlySet<string> {
  return new Set(states.filter(({ paused }) => paused).map(({ target }) => target))
}
