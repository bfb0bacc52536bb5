/** When a lane stops trying, and for how long. Durations in milliseconds. */
export interface BreakerPolicy {
  /** So many failed attempts in a row, whatever the delivery, open the breaker. */
  readonly failures: number
  /** How long it stays open before one attempt is let through; doubled each time that one fails. */
  readonly cooldownMs: number
  readonly maxCooldownMs: number
}

/**
 * What is known about a target's health. Plain data, for it is kept in the outbox: a restart does not send a storm to a
 * service that is just coming back.
 */
export type BreakerState =
  /** `limit`: how many attempts may run at once; it doubles up to the lane's concurrency after the breaker has closed. */
  | { readonly kind: 'closed'; readonly failures: number; readonly limit: number }
  /** Nothing goes out before `probeAt` (epoch milliseconds). */
  | { readonly kind: 'open'; readonly probeAt: number; readonly cooldownMs: number }
  /** One attempt is out, to see. */
  | { readonly kind: 'probing'; readonly cooldownMs: number }

export const HEALTHY = { kind: 'closed', failures: 0, limit: Number.POSITIVE_INFINITY } as const satisfies BreakerState

/** How many more attempts may start now, with `running` under way. */
export function allowed(state: BreakerState, running: number, now: number): number {
  if (state.kind === 'closed') return Math.max(0, state.limit - running)
  // An attempt that was under way when it opened has yet to end; it may be all the proof that is needed.
  return state.kind === 'open' && now >= state.probeAt && running === 0 ? 1 : 0
}

/** An attempt has started. */
export function started(state: BreakerState): BreakerState {
  return state.kind === 'open' ? { kind: 'probing', cooldownMs: state.cooldownMs } : state
}

/** An attempt was cut short and says nothing: a probe has to be made again. */
export function interrupted(state: BreakerState, now: number): BreakerState {
  return state.kind === 'probing' ? { kind: 'open', probeAt: now, cooldownMs: state.cooldownMs } : state
}

/** The target answered: with a success or with a refusal, it is there. */
export function succeeded(state: BreakerState, concurrency: number): BreakerState {
  if (state.kind !== 'closed') return { kind: 'closed', failures: 0, limit: Math.min(2, concurrency) }
  if (state.limit === HEALTHY.limit && state.failures === 0) return state
  // One more slot per success: a full round of successes doubles what may run at once.
  if (state.limit + 1 >= concurrency) return HEALTHY
  return { kind: 'closed', failures: 0, limit: state.limit + 1 }
}

/** The target failed. */
export function failed(state: BreakerState, policy: BreakerPolicy, now: number): BreakerState {
  switch (state.kind) {
    case 'open':
      return state
    case 'probing':
      return opened(Math.min(state.cooldownMs * 2, policy.maxCooldownMs), now)
    case 'closed': {
      const failures = state.failures + 1
      if (failures >= policy.failures) return opened(policy.cooldownMs, now)
      // On the ramp, a failure takes back what the last round of successes brought.
      return { kind: 'closed', failures, limit: Math.max(1, Math.floor(state.limit / 2)) }
    }
  }
}

function opened(cooldownMs: number, now: number): BreakerState {
  return { kind: 'open', probeAt: now + cooldownMs, cooldownMs }
}
