import type { Attempt } from '../domain/delivery.ts'

/** All that has happened, in its order. See `OutboxOperator`, which this is a part of. */
export interface JournalReader {
  /** The last `count` entries, in the order in which they happened. */
  newestEntries(filter: JournalFilter, count: number): Promise<JournalPage>

  /** The entries after a position. There may be more after the new one: a page is bounded. */
  entriesAfter(filter: JournalFilter, position: JournalPosition): Promise<JournalPage>
}

/** What has happened: an event received, an attempt ended, a request refused. */
export type JournalEntry = EventEntry | AttemptEntry | RefusalEntry

export interface EventEntry extends JournalEvent {
  readonly kind: 'event'
}

export interface AttemptEntry extends JournalEvent, Omit<Attempt, 'response'> {
  readonly kind: 'attempt'
  readonly deliveryId: number
  readonly target: string
}

export interface RefusalEntry {
  readonly kind: 'refusal'
  readonly at: number
  readonly rejectionId: number
  readonly source: string
  readonly reason: string
  readonly peer: string
  readonly bytes: number | null
}

interface JournalEvent {
  /** When it happened: of an attempt, when it ended. */
  readonly at: number
  readonly eventId: string
  readonly source: string
  readonly event: string
  readonly callId: string | null
}

/** Which entries are meant. Of `event` and `callId`, refusals know nothing, and of `target` only attempts do. */
export interface JournalFilter {
  readonly source?: string
  /** A pattern over event names, as in routes. */
  readonly event?: string
  readonly callId?: string
  readonly kinds: readonly JournalEntry['kind'][]
  readonly target?: string
}

/** How far the journal was read, by the sequence number of each kind: times may repeat and go back. */
export type JournalPosition = Readonly<Record<JournalEntry['kind'], number>>

export interface JournalPage {
  readonly entries: readonly JournalEntry[]
  readonly position: JournalPosition
}
