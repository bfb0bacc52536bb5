import type { AttemptUnderWay } from './outbox.ts'

/** An attempt that was under way when the relay answered; the event's id is null where the delivery is no longer on record. */
export interface ReportedAttempt extends AttemptUnderWay {
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
   * The attempts that were under way when the relay answered this request or a later one: none if the relay has ended or
   * restarted meanwhile. Null until then.
   */
  recallAnswer(request: number): Promise<readonly ReportedAttempt[] | null>
}
