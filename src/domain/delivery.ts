/** One event on its way to one target: what a lane claims, a target sends and a settlement ends. */
export interface Delivery {
  readonly deliveryId: number
  readonly target: string
  /** Attempts already made; the one about to be made is `attempts + 1`. */
  readonly attempts: number
  /** When the first attempt began (epoch milliseconds), or null before it. */
  readonly firstAttemptAt: number | null
  readonly event: DeliveredEvent
}

/** The event as targets see it. */
export interface DeliveredEvent {
  readonly eventId: string
  readonly source: string
  readonly event: string
  readonly callId: string | null
  readonly receivedAt: number
  readonly contentType: string | null
  /** Exactly the bytes received. */
  readonly body: Uint8Array
}

/** One attempt, as it is kept for the operator. */
export interface Attempt {
  /** 1 for the first. */
  readonly attempt: number
  readonly startedAt: number
  readonly durationMs: number
  readonly outcome: 'delivered' | 'failed' | 'refused'
  /** HTTP status or exit code, where there was one. */
  readonly status: number | null
  readonly error: string | null
  /** What the target answered, cut to a bound. */
  readonly response: string | null
}

/** What an attempt makes of its delivery. */
export type Settlement =
  | { readonly state: 'delivered' }
  | { readonly state: 'pending'; readonly dueAt: number }
  | { readonly state: 'dead' }
