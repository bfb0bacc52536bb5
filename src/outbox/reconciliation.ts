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

/**
 * Events of known calls that have not come and still may, and how far the provider's lists have been read: what a sweep
 * need not read again. Call times are the provider's.
 */
export interface AwaitedEventStore {
  /** What is awaited of these calls; a call of which nothing is awaited is absent. */
  awaitedOf(source: string, callIds: readonly string[]): Promise<AwaitedCall[]>

  /** Replaces what is awaited of each of these calls; a call with no events is removed. */
  saveAwaited(source: string, calls: readonly AwaitedCall[]): Promise<void>

  /** Removes events that are due to be looked at and have come meanwhile, and those of calls created before then. */
  forgetAwaited(source: string, dueBy: number, createdBefore: number): Promise<void>

  /** The calls that are due to be looked at, in the order of their creation. */
  dueCalls(source: string, dueBy: number, limit: number): Promise<DueCall[]>

  /** What is known of the sweeps of this name; null where nothing is. */
  coverage(name: string): Promise<Coverage | null>

  saveCoverage(name: string, coverage: Coverage): Promise<void>
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

  /**
   * Events that can never be had, the newest found first. `callPrefix`: of the calls whose ids begin so. `before`: the last one of
   * the page before.
   */
  listGaps(limit: number, callPrefix?: string, before?: Gap): Promise<Gap[]>
}

/** An event that a call must have had. */
export interface ExpectedEvent {
  readonly event: string
  readonly callId: string
}

export interface DueCall {
  readonly callId: string
  readonly createdAt: number
  /** Whether only its tombstone is left. */
  readonly deleted: boolean
}

export interface AwaitedCall extends DueCall {
  readonly events: readonly AwaitedEvent[]
}

export interface AwaitedEvent {
  readonly event: string
  /** Since when the call is known to have had it; null: it had not when it was last looked at. */
  readonly happenedAt: number | null
  /** Before then, looking at the call changes nothing. */
  readonly lookAt: number
}

/** What the last full pass has read of a list, and for which configuration. */
export interface Coverage {
  /** Identifies what was looked for: with another configuration the pass does not count. */
  readonly scope: string
  /** The full pass has read all calls created since then; null: none is done. */
  readonly from: number | null
  /** When it was done; null: none is. */
  readonly fullAt: number | null
  /** When the newest call seen was created, by the provider's clock; null: none was seen. */
  readonly newest: number | null
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
  /** Why the last look did not come to its end: the first of what failed. */
  readonly problem: { readonly at: number; readonly message: string } | null
  /** The lists in which something could not be read, and what. Absent: none. */
  readonly unreadable?: readonly UnreadableCalls[]
  /** What failed the last time, by itself. Absent in what an earlier version has kept. */
  readonly failing?: readonly FailingPart[]
  /** What was wrong with the webhook when it was last looked at. */
  readonly webhook: { readonly at: number; readonly problems: readonly WebhookProblem[] } | null
}

/** Calls in a list of the provider that cannot be read in full. Never holds what is there instead. */
export interface UnreadableCalls {
  readonly list: 'calls' | 'deleted calls'
  readonly since: number
  readonly count: number
  /** Of one of them: its id (null where that cannot be read either), the field, and a sentence that names both. */
  readonly callId: string | null
  readonly field: string
  readonly problem: string
}

/** A part of the provider's API, or the outbox, that fails. */
export interface FailingPart {
  /** Such as `GET /api/calls`, or `outbox`. */
  readonly endpoint: string
  /** When it failed first and last without success between, and how often. */
  readonly since: number
  readonly at: number
  readonly failures: number
  readonly message: string
}

export interface WebhookProblem {
  readonly kind: 'missing' | 'moved' | 'unhealthy' | 'events' | 'secrets' | 'agent'
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
