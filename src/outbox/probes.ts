/** How a request to probe a target now ended. */
export type ProbeResult =
  /** One attempt was made, and is on record. */
  { readonly outcome: 'attempted'; readonly deliveryId: number } | { readonly outcome: ProbeObstacle }

/**
 * Why no attempt was made. `nothing_ready`: no delivery is pending, or all are under way or behind others of their call.
 * `no_slot`: attempts under way take all of `concurrency`. `rate_limited`: `rateLimit` allows no attempt now. `interrupted`: the
 * relay is starting or stopping, or has cut the attempt short.
 */
export type ProbeObstacle =
  | 'nothing_ready'
  | 'paused'
  | 'not_configured'
  | 'no_slot'
  | 'rate_limited'
  | 'outbox_unavailable'
  | 'interrupted'

/** A request that the relay has not answered. */
export interface ProbeRequest {
  readonly target: string
  readonly request: number
}

/** How a command has the running relay probe a target. */
export interface ProbeDesk {
  /** Asks for one attempt now and returns the number of the request; null where no relay is running. */
  requestProbe(target: string, now: number): Promise<number | null>

  /** The result of this request or a later one; null until then. `interrupted` where the relay has ended meanwhile. */
  probeResult(target: string, request: number): Promise<ProbeResult | null>
}
