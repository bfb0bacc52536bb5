import type { Delivery } from '../domain/delivery.ts'
import type { Outcome } from '../domain/outcome.ts'

/** A destination. One file beside this one per kind. */
export interface Target {
  readonly name: string
  /**
   * Makes one attempt and says what came of it. Never throws: whatever goes wrong is an outcome. Ends within the
   * target's own timeout. When `signal` aborts, the attempt is cut short and the outcome is `interrupted`. Calls `onSent` right
   * before the destination may notice the attempt; until then it holds its place in the rate limit.
   */
  send(delivery: Delivery, signal: AbortSignal, onSent?: () => void): Promise<Outcome>
  /** Gives back connections. No attempt is running when it is called. */
  close(): Promise<void>
}
