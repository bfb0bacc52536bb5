/** A delivery that was sent, or is being sent, in spite of what a command did to it. */
export interface SentDelivery {
  readonly deliveryId: number
  /** When the attempt under way was started (epoch milliseconds); absent where it has ended. */
  readonly startedAt?: number
  readonly target: string
  /** Null where the delivery is no longer on record. */
  readonly eventId: string | null
}

/**
 * How a command that has changed deliveries or paused a target makes sure that the running relay follows. The relay answers a
 * recall once it has given back all that it had claimed and not started. What it claims from then on is as the command left it.
 */
export interface RecallDesk {
  /** Asks for a recall and returns the number of the request; null where no relay is running. */
  requestRecall(): Promise<number | null>

  /**
   * What was being sent when the relay answered this request or a later one: nothing if the relay has ended or restarted
   * meanwhile. Null until then.
   */
  recallAnswer(request: number): Promise<readonly SentDelivery[] | null>

  /** The number of the last attempt on record; 0 before the first. */
  lastAttempt(): Promise<number>

  /** Cancelled deliveries that their target has accepted in an attempt recorded after this one. */
  cancelledButDelivered(lastAttempt: number): Promise<readonly SentDelivery[]>
}
