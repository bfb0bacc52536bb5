/** What reconciliation keeps in an outbox: how far it has come, and what can no longer be had. */
export interface ReconciliationStore {
  /** Those of these events of a source that are not on record. */
  missingEvents(source: string, events: readonly ExpectedEvent[]): Promise<ExpectedEvent[]>

  /** Null where none was ever begun. */
  sweep(source: string): Promise<Sweep | null>

  saveSweep(source: string, sweep: Sweep, now: number): Promise<void>

  /** Puts events on record that can never come. Returns those that were not known to be so. */
  saveGaps(source: string, events: readonly ExpectedEvent[], now: number): Promise<ExpectedEvent[]>
}

/** An event that a call must have had. */
export interface ExpectedEvent {
  readonly event: string
  readonly callId: string
}

/** How far the looking has come. All instants are epoch milliseconds, and about when calls were created. */
export interface Sweep {
  /** All calls created before have been looked at; null before the first sweep is done. */
  readonly completedUntil: number | null
  /** What is under way, or was when the relay ended. */
  readonly current: {
    readonly from: number
    readonly to: number
    readonly phase: 'calls' | 'deleted'
    /** Where the provider's list goes on; null at its beginning. */
    readonly page: string | null
  } | null
}
