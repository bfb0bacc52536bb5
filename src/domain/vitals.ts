/** What shows whether a relay works, and what it has to do. */
export interface Vitals {
  /** How many targets it has. */
  readonly targets: number
  /** Deliveries that are due, held behind dead ones of their calls, and dead; large numbers are counted to a limit. */
  readonly due: number
  readonly held: number
  readonly dead: number
  /** For how long a lane has waited for the outbox to take what it has to say; 0 where none waits. */
  readonly unansweredMs: number
}
