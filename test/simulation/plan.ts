import type { BreakerPolicy } from '../../src/delivery/breaker.ts'
import type { RetryPolicy } from '../../src/domain/backoff.ts'
import type { RateLimit } from '../../src/domain/rate-limit.ts'
import type { World } from './world.ts'

/** How one target is configured, and how it behaves. */
export interface PlannedTarget {
  readonly name: string
  readonly concurrency: number
  readonly ordered: boolean
  readonly holdOnDead: boolean
  readonly policy: RetryPolicy
  readonly breaker: BreakerPolicy
  readonly rateLimit: RateLimit | null
  /** Shares of attempts that fail, are refused, and arrive though they seem to fail. */
  readonly fails: number
  readonly refuses: number
  readonly deceives: number
  /** Longest answer, in milliseconds. */
  readonly slowest: number
  /** Share of events that it fails whenever they are tried. */
  readonly poison: number
  /** Share of attempts that take `hangMs` and then fail. */
  readonly hangs: number
  /** Share of events whose attempts end the relay. */
  readonly kills: number
  readonly hangMs: number
  /** Whether the configuration pauses it. */
  readonly paused: boolean
}

/** What a seed tries. Each trouble is left out of some, so that none hides what another would show. */
export interface Plan {
  readonly targets: readonly PlannedTarget[]
  readonly events: number
  readonly calls: number
  /** For how long there are troubles, in milliseconds. */
  readonly troubledMs: number
  /** How likely at each point where one is possible. */
  readonly crash: number
  readonly outboxFault: number
  readonly lostConnection: number
  readonly stops: boolean
  readonly reloads: boolean
  /** Whether reloads and restarts come with other settings. */
  readonly changes: boolean
  readonly outages: boolean
  readonly operator: boolean
  readonly pauses: boolean
  readonly prunes: boolean
  /** By how much the wall clock may jump, in milliseconds; 0: not at all. */
  readonly clockJump: number
  /** How many times more often than usual operators, reloads and restarts act. */
  readonly bustle: number
}

export function planOf(world: World): Plan {
  const some = (value: number) => (world.chance(0.5) ? value : 0)
  return {
    targets: Array.from({ length: world.between(1, 3) }, (_, index) => targetOf(world, `target-${index + 1}`)),
    events: world.between(1, 30),
    calls: world.between(1, 5),
    troubledMs: world.pick([500, 5_000, 60_000]),
    crash: some(world.pick([0.002, 0.02, 0.1])),
    outboxFault: some(world.pick([0.02, 0.2])),
    lostConnection: some(world.pick([0.05, 0.3])),
    stops: world.chance(0.3),
    reloads: world.chance(0.4),
    changes: world.chance(0.6),
    outages: world.chance(0.5),
    operator: world.chance(0.3),
    pauses: world.chance(0.3),
    prunes: world.chance(0.3),
    clockJump: some(world.pick([1_000, 600_000, 600_000, 43_200_000])),
    bustle: 1,
  }
}

function targetOf(world: World, name: string): PlannedTarget {
  const maxDelayMs = world.pick([50, 2_000, 60_000])
  const cooldownMs = world.pick([10, 500, 10_000])
  // Without end, a millisecond between two attempts would be too many of them.
  const initialDelayMs = world.pick([1, 20, 500])
  return {
    name,
    concurrency: world.between(1, 4),
    ordered: world.chance(0.5),
    holdOnDead: world.chance(0.5),
    policy: {
      initialDelayMs,
      factor: world.pick([1, 2, 5]),
      maxDelayMs,
      jitter: world.pick([0, 0.2, 1]),
      giveUpAfterMs: world.chance(0.3) ? world.pick([100, 5_000, 120_000]) : null,
      maxAttempts: world.chance(0.4) ? world.between(1, 5) : null,
    },
    breaker: { failures: world.pick([1, 3, 1_000]), cooldownMs, maxCooldownMs: cooldownMs * 4 },
    rateLimit: rateLimitOf(world),
    fails: world.pick([0, 0.1, 0.5, 0.95]),
    refuses: world.pick([0, 0, 0.1]),
    deceives: world.pick([0, 0.1]),
    slowest: world.pick([2, 50, 20_000]),
    poison: world.pick([0, 0, 0.3]) * (initialDelayMs === 1 ? 0 : 1),
    hangs: world.pick([0, 0, 0.1]),
    kills: world.pick([0, 0, 0, 0, 0.1]),
    hangMs: world.pick([1_000, 30_000]),
    paused: false,
  }
}

function rateLimitOf(world: World): RateLimit | null {
  return world.chance(0.2) ? { max: world.between(1, 3), perMs: world.pick([100, 1_000]) } : null
}

/** The target with one of its settings changed, as an operator edits a configuration. */
export function edited(world: World, target: PlannedTarget): PlannedTarget {
  const { policy } = target
  const edits: readonly (() => Partial<PlannedTarget>)[] = [
    () => ({ concurrency: world.between(1, 4) }),
    () => ({ rateLimit: rateLimitOf(world) }),
    () => ({ ordered: !target.ordered }),
    () => ({ holdOnDead: !target.holdOnDead }),
    () => ({ policy: { ...policy, maxDelayMs: world.pick([50, 2_000, 60_000]) } }),
    () => ({ paused: !target.paused }),
  ]
  return { ...target, ...world.pick(edits)() }
}
