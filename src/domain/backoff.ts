import type { Random } from './clock.ts'

/** When to try again, and when to stop. Durations in milliseconds. */
export interface RetryPolicy {
  readonly initialDelayMs: number
  readonly factor: number
  readonly maxDelayMs: number
  /** ± share of the delay, 0 to 1. */
  readonly jitter: number
  /** No attempt starts later than this after the first one. */
  readonly giveUpAfterMs: number | null
  readonly maxAttempts: number | null
  /** The most attempts that may end with a timeout; null or absent: no limit. */
  readonly timeouts?: number | null
}

/**
 * The pause after the nth failed attempt (n from 1), in whole milliseconds, before jitter.
 * `factor ** n` overflows to Infinity for large n; the minimum takes care of it.
 */
export function baseDelayMs(policy: RetryPolicy, failedAttempts: number): number {
  return Math.round(Math.min(policy.maxDelayMs, policy.initialDelayMs * policy.factor ** (failedAttempts - 1)))
}

/**
 * The pause after the nth failed attempt with jitter: between (1 − jitter) and (1 + jitter) of the base delay.
 * A target's own Retry-After wins where it is longer, capped at `maxDelay`; it is then lengthened by up to the jitter
 * share, never shortened, so that the deliveries it held back do not all return in the same instant.
 */
export function retryDelayMs(
  policy: RetryPolicy,
  failedAttempts: number,
  random: Random,
  retryAfterMs: number | undefined,
): number {
  const spread = (2 * random() - 1) * policy.jitter
  const delay = baseDelayMs(policy, failedAttempts) * (1 + spread)
  const asked = Math.min(Math.max(retryAfterMs ?? 0, 0), policy.maxDelayMs) * (1 + Math.abs(spread))
  return Math.round(Math.max(delay, asked))
}

/** The longest delay that the policy gives a delivery, jitter included, in whole milliseconds. */
export function longestDelayMs({ maxDelayMs, jitter }: RetryPolicy): number {
  return Math.ceil(maxDelayMs * (1 + jitter))
}

/** A claim may wait for the outbox together with settlements that come after it, and are put off from their time on. */
export const CLAIM_WAITS_MS = 60_000

/**
 * Now, and the latest time to which the policy may have put a delivery off by now: epoch milliseconds. What is put off beyond
 * was so by a clock that was ahead, and has since been set back.
 */
export function dueTimes(policy: RetryPolicy, now: number): [now: number, latest: number] {
  return [now, now + longestDelayMs(policy) + CLAIM_WAITS_MS]
}
