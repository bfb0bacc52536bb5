/** One event on its way to one target: what a lane claims, a target sends and a settlement ends. */
export interface Delivery {
  readonly deliveryId: number
  readonly target: string
  /** Attempts already made, ever; the one about to be made is `attempts + 1`. */
  readonly attempts: number
  /** 1, and one more each time an operator has it tried anew: then the budget of attempts is a fresh one. */
  readonly round: number
  /** Attempts already made in this round. */
  readonly roundAttempts: number
  /**
   * From when the time for this round counts (epoch milliseconds): when its first attempt began, put forward by the time during
   * which nothing could be tried since. Null before it.
   */
  readonly firstAttemptAt: number | null
  /** Attempts in a row just before this one during which the relay ended unexpectedly, as far as is known; absent: 0. */
  readonly starts?: number
  /** Attempts of this round that ended with a timeout; absent: 0. */
  readonly timeouts?: number
  readonly event: DeliveredEvent
  /** The recording of its call, for the attempt at hand; absent where the target does not get it as a file. */
  readonly recording?: RecordingFile
}

/** A call's recording, for one attempt. */
export interface RecordingFile {
  /** Absolute; it may be moved or removed, which nobody else notices. */
  readonly path: string
  readonly contentType: string
  readonly bytes: number
}

/** A delivery to be made of a new event. */
export interface NewDelivery {
  readonly target: string
  /** Whether the target gets a call's events one at a time and in the order in which they came. */
  readonly ordered: boolean
  /** Whether it is to be leased as soon as it is recorded, for a lane that has a slot free for it. */
  readonly lease?: boolean
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
  /**
   * The event's place in its trace; for the target, that of the attempt. Null or absent where the event was recorded
   * without one.
   */
  readonly traceparent?: string | null
  readonly tracestate?: string | null
  /**
   * The relays through which the event has passed, see `domain/via.ts`; for the target, this one as well. Null or absent: none.
   */
  readonly via?: string | null
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
  /** What an operator should know of it, whatever its outcome; cut to a bound. */
  readonly note: string | null
}

/** The error of an attempt whose own one was erased. */
export const ERASED = 'erased'

/** What remains of an attempt of an erased call: the target may have quoted the call. */
export function withoutAnswer(attempt: Attempt): Attempt {
  return { ...attempt, response: null, note: null, error: attempt.error === null ? null : ERASED }
}

/** The delivery is tried again. */
export interface PendingSettlement {
  readonly state: 'pending'
  readonly dueAt: number
  /** The delivery's from now on; absent: as it was, or when the attempt began. */
  readonly firstAttemptAt?: number
  /** The attempt uses nothing of the budget. */
  readonly uncounted?: true
  /** The attempt counts for `RetryPolicy.timeouts`. */
  readonly timedOut?: true
}

/** What an attempt makes of its delivery. */
export type Settlement =
  | { readonly state: 'delivered' }
  | PendingSettlement
  /** `hold`: in an ordered target, the later events of the call wait until an operator has decided about this one. */
  | { readonly state: 'dead'; readonly hold?: boolean }
