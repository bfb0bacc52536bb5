/** What reconciliation keeps in an outbox: how far it has come, and what can no longer be had. */
export interface ReconciliationStore {
  /** Those of these events of a provider account that are not on record. */
  missingEvents(account: string, events: readonly ExpectedEvent[]): Promise<ExpectedEvent[]>

  /** How far a sweep of this name has come; null where none was ever begun. */
  sweep(name: string): Promise<Sweep | null>

  /** One that has nothing done and nothing under way is forgotten. */
  saveSweep(name: string, sweep: Sweep, now: number): Promise<void>

  /** Puts events on record that can never come. */
  saveGaps(source: string, events: readonly ExpectedEvent[], now: number): Promise<void>
}

/** What the daemon tells of the provider's side. */
export interface ProviderStateStore {
  /** What was told of a source last; null where nothing was. */
  providerState(source: string): Promise<ProviderState | null>

  /** Replaces what was told of this source before. */
  saveProviderState(source: string, state: ProviderState, now: number): Promise<void>

  /** Gaps that nobody has been told of: how many, the first of them, and when the last was found. */
  untoldGaps(source: string, limit: number): Promise<UntoldGaps>

  /** Those found until then have been told of. */
  gapsTold(source: string, until: number): Promise<void>
}

/** What an operator sees of it. */
export interface ReconciliationReader {
  /** Each source that was ever reconciled, or whose webhook was looked at, in the order of their names. */
  provider(): Promise<ProviderReport[]>

  /** Events that can never be had, the newest found first. */
  listGaps(limit: number): Promise<Gap[]>
}

/** An event that a call must have had. */
export interface ExpectedEvent {
  readonly event: string
  readonly callId: string
}

export interface Gap extends ExpectedEvent {
  readonly source: string
  readonly foundAt: number
}

export interface UntoldGaps {
  readonly count: number
  readonly events: readonly ExpectedEvent[]
  /** 0 where there are none. */
  readonly foundUntil: number
}

/** How far the looking has come. All instants are epoch milliseconds, and about when calls were created. */
export interface Sweep {
  /** All calls created before have been looked at; null before the first sweep is done. */
  readonly completedUntil: number | null
  /** What is under way, or was when the process ended. */
  readonly current: SweepPlace | null
}

export interface SweepPlace {
  readonly from: number
  readonly to: number
  /** Where the provider's list goes on; null at its beginning. */
  readonly page: string | null
}

/** How it went the last time. Instants in epoch milliseconds; null for what has not been. */
export interface ProviderState {
  /** The last sweep that came to its end: when, how many calls it looked at, how many events it had to fetch. */
  readonly swept: { readonly at: number; readonly calls: number; readonly recorded: number } | null
  /** Why the last look did not come to its end. */
  readonly problem: { readonly at: number; readonly message: string } | null
  /** What was wrong with the webhook when it was last looked at. */
  readonly webhook: { readonly at: number; readonly problems: readonly WebhookProblem[] } | null
}

export interface WebhookProblem {
  readonly kind: 'missing' | 'moved' | 'unhealthy' | 'events' | 'secrets'
  /** One plain sentence with what to do. */
  readonly message: string
}

export interface ProviderReport extends ProviderState {
  readonly source: string
  /** All calls created before have been looked at. */
  readonly completedUntil: number | null
  /** Events on record that had to be fetched. */
  readonly fetched: number
  /** Events that can never be had. */
  readonly gaps: number
}
