import type { Delivery } from '../domain/delivery.ts'

/** When a lane stops trying, and for how long. Durations in milliseconds. */
export interface BreakerPolicy {
  /** This many different deliveries that fail in a row open the circuit. */
  readonly failures: number
  /** How long it stays open before one attempt probes the target. */
  readonly cooldownMs: number
  readonly maxCooldownMs: number
}

/**
 * What is known about a target's health. Plain data, for it is kept in the outbox: a restart does not send a storm to a
 * service that is just coming back.
 */
export type BreakerState = ClosedCircuit | OpenCircuit

export interface ClosedCircuit {
  readonly kind: 'closed'
  /** Ids of the deliveries that have failed since the last success; less than `BreakerPolicy.failures`. */
  readonly failed: readonly number[]
  /** How many attempts may run at once; it grows to the lane's concurrency after the circuit has closed. */
  readonly limit: number
  /** Successes in a row that are still needed before the target counts as recovered. */
  readonly unproven: number
}

export interface OpenCircuit {
  readonly kind: 'open'
  /** Nothing is sent before this instant (epoch milliseconds). */
  readonly probeAt: number
  readonly cooldownMs: number
  /** The delivery that is probing the target now. Attempts of others began before the circuit opened. */
  readonly probe: number | null
  /** The delivery whose probe failed last. */
  readonly lastProbe: number | null
}

export const HEALTHY = {
  kind: 'closed',
  failed: [],
  limit: Number.POSITIVE_INFINITY,
  unproven: 0,
} as const satisfies BreakerState

/**
 * How many more attempts may start now, with `running` under way. Attempts that began before the circuit opened are not
 * among these: one that hangs would keep the target from being probed, and then from recovering.
 */
export function allowed(state: BreakerState, running: number, now: number): number {
  if (state.kind === 'closed') return Math.max(0, state.limit - running)
  return now >= state.probeAt && state.probe === null ? 1 : 0
}

/** Whether the circuit has closed and the target has not proven itself yet. */
export function isRecovering(state: BreakerState): boolean {
  return state.kind === 'closed' && (state.unproven > 0 || state.limit < HEALTHY.limit)
}

/** An attempt has started; while the circuit is open, it is the probe. */
export function started(state: BreakerState, deliveryId: number): BreakerState {
  return state.kind === 'open' ? { ...state, probe: deliveryId } : state
}

/** An attempt was cut short and says nothing. If it was the probe, another one may be made at once. */
export function interrupted(state: BreakerState, deliveryId: number, now: number): BreakerState {
  return isProbe(state, deliveryId) ? { ...state, probe: null, probeAt: now } : state
}

/**
 * The target rejected or throttled a delivery. Something answers, perhaps a proxy in front of it: a probe keeps the circuit open
 * for the same cooldown, and all else changes nothing.
 */
export function answered(state: BreakerState, deliveryId: number, now: number): BreakerState {
  return isProbe(state, deliveryId) ? opened(state.cooldownMs, now, deliveryId) : state
}

/** The target accepted a delivery, whenever the attempt began. */
export function succeeded(state: BreakerState, concurrency: number, { failures }: BreakerPolicy): BreakerState {
  if (state.kind !== 'closed') {
    return { kind: 'closed', failed: [], limit: Math.min(2, concurrency), unproven: failures }
  }
  // One more slot per success: a full round of successes doubles what may run at once.
  const limit = state.limit + 1 >= concurrency ? HEALTHY.limit : state.limit + 1
  const unproven = Math.max(0, state.unproven - 1)
  return limit === HEALTHY.limit && unproven === 0 ? HEALTHY : { kind: 'closed', failed: [], limit, unproven }
}

/** The target failed a delivery, which is given as it was before the attempt. */
export function failed(
  state: BreakerState,
  { deliveryId, attempts, roundAttempts }: Pick<Delivery, 'deliveryId' | 'attempts' | 'roundAttempts'>,
  policy: BreakerPolicy,
  now: number,
): BreakerState {
  if (state.kind === 'open') {
    if (!isProbe(state, deliveryId)) return state
    // That a delivery fails again may be its own fault. A longer cooldown would be at the expense of the others.
    const factor = attempts === 0 ? 2 : 1
    return opened(Math.min(state.cooldownMs * factor, policy.maxCooldownMs), now, deliveryId)
  }
  // It has been counted, and says nothing new. So it does not slow a recovery down either, which would last as long as
  // deliveries that always fail are retried.
  // A retry by an operator does not make it another one.
  if (roundAttempts > 0 || state.failed.includes(deliveryId)) return state
  const failed = [...state.failed, deliveryId]
  if (failed.length >= policy.failures) return opened(policy.cooldownMs, now, null)
  return {
    kind: 'closed',
    failed,
    // On the ramp, a failure takes back what the last round of successes brought.
    limit: Math.max(1, Math.floor(state.limit / 2)),
    unproven: isRecovering(state) ? policy.failures : 0,
  }
}

function isProbe(state: BreakerState, deliveryId: number): state is OpenCircuit {
  return state.kind === 'open' && state.probe === deliveryId
}

function opened(cooldownMs: number, now: number, lastProbe: number | null): OpenCircuit {
  return { kind: 'open', probeAt: now + cooldownMs, cooldownMs, probe: null, lastProbe }
}
