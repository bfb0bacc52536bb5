import type { Config, TargetConfig } from '../config/config.ts'
import type { DeliveryHistory, QueuePlace } from '../outbox/operator.ts'

/** What keeps a pending delivery from being sent. Instants are epoch milliseconds. */
export type WaitsFor = HeldWait | OrderWait | TargetWait

/** A dead delivery holds its call until an operator retries or cancels that one. */
export interface HeldWait {
  readonly reason: 'held'
  readonly deliveryId: number
  readonly event: string
  readonly deadSince: number
  readonly error: string | null
}

/** An earlier delivery of its call has to end first. */
export interface OrderWait {
  readonly reason: 'order'
  readonly deliveryId: number
  readonly event: string
  readonly dueAt: number
  /** What that one waits for; null where it is being sent, or is next. */
  readonly waitsFor: TargetWait | null
}

/** What keeps a delivery that nothing of its call is in the way of. */
export type TargetWait =
  | { readonly reason: 'not_configured' }
  | { readonly reason: 'paused'; readonly by: 'configuration' | 'command' }
  /** The circuit is open. `probeAt`: when one delivery may be tried. */
  | { readonly reason: 'circuit'; readonly probeAt: number }
  /** The target asked for a pause (429, Retry-After). */
  | { readonly reason: 'throttled'; readonly until: number }
  /** The relay ended unexpectedly during its last attempts: it waits for its turn, or is sent on its own. */
  | { readonly reason: 'interrupted' }
  | { readonly reason: 'backoff'; readonly dueAt: number; readonly error: string | null }
  /** `ahead` deliveries are sent before it, counted up to 10,000, and at most `max` in `perMs` milliseconds. */
  | { readonly reason: 'rate_limit'; readonly ahead: number; readonly max: number; readonly perMs: number }

/** One start may be that of the attempt under way, also of a delivery that was never interrupted. */
const SURELY_INTERRUPTED = 2

/** A delivery as far as it matters here. */
type Waiting = Pick<DeliveryHistory, 'target' | 'dueAt' | 'lastError' | 'place'>

/** Why a delivery is not sent; null where it has ended, is being sent, or is next. */
export function waitsFor({ place, ...delivery }: Waiting, config: Config, now: number): WaitsFor | null {
  if (place === null) return null
  const { behind } = place
  if (behind === null) return targetWait(delivery, place, config, now)
  const { deliveryId, event, state, updatedAt, dueAt, lastError, ahead, starts } = behind
  if (state === 'dead') return { reason: 'held', deliveryId, event, deadSince: updatedAt, error: lastError }
  const earlier = targetWait({ target: delivery.target, dueAt, lastError }, { ...place, ahead, starts }, config, now)
  return { reason: 'order', deliveryId, event, dueAt: dueAt ?? updatedAt, waitsFor: earlier }
}

/** What keeps a target's delivery that nothing of its call is in the way of; null where it is being sent, or is next. */
export function targetWait(
  { target, dueAt, lastError }: Omit<Waiting, 'place'>,
  { paused, breaker, throttledUntil, ahead, starts }: Omit<QueuePlace, 'behind'>,
  { targets }: Config,
  now: number,
): TargetWait | null {
  const configured: TargetConfig | null = Object.hasOwn(targets, target) ? targets[target]! : null
  if (configured === null) return { reason: 'not_configured' }
  if (configured.paused) return { reason: 'paused', by: 'configuration' }
  if (paused) return { reason: 'paused', by: 'command' }
  if (breaker !== null) return { reason: 'circuit', probeAt: breaker.probeAt }
  const isThrottled = throttledUntil !== null && throttledUntil > now
  // Its own delay may last longer.
  if (isThrottled && (dueAt ?? now) <= throttledUntil) return { reason: 'throttled', until: throttledUntil }
  if (dueAt !== null && dueAt > now) return { reason: 'backoff', dueAt, error: lastError }
  if (starts >= SURELY_INTERRUPTED) return { reason: 'interrupted' }
  const { rateLimit } = configured
  return rateLimit !== null && ahead > 0 ? { reason: 'rate_limit', ahead, ...rateLimit } : null
}
