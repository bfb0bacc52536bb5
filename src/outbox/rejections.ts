import type { NewDelivery } from '../domain/delivery.ts'
import type { RefusalCode } from '../domain/errors.ts'
import type { NewEvent } from '../domain/event.ts'

/** Refused requests, and taking them in after all. See `OutboxOperator`, which this is a part of. */
export interface RejectionDesk {
  /** The ids of the rejections that are meant, in ascending order: that in which they first came. */
  findRejections(filter: RejectionFilter): Promise<number[]>

  /** The newest first, without their bodies. `before`: the last one of the page before. */
  listRejections(
    filter: RejectionFilter,
    limit: number,
    before?: Pick<RejectionSummary, 'rejectionId' | 'receivedAt'>,
  ): Promise<RejectionSummary[]>

  /** Whole, in ascending order of their ids; those that there are. */
  readRejections(rejectionIds: readonly number[]): Promise<StoredRejection[]>

  /**
   * Takes kept rejections in: records the event of each with its deliveries, due now, or counts a duplicate of the one on
   * record, and removes the rejection. Those that are gone meanwhile are passed over. For many, see `retryDeliveries`.
   */
  admit(admissions: readonly Admission[], now: number): Promise<Admitted[]>

  /** Removes rejections. Returns how many there were. For many, see `retryDeliveries`. */
  clearRejections(filter: RejectionFilter): Promise<number>
}

/** Which rejections are meant; what is absent does not matter. */
export interface RejectionFilter {
  readonly rejectionIds?: readonly number[]
  readonly source?: string
  readonly reason?: RefusalCode
  readonly peer?: string
  /** Received (for the last time) at or after, and before (epoch milliseconds). */
  readonly since?: number
  readonly until?: number
  /** Only those with their body, or only those without. */
  readonly kept?: boolean
}

export interface RejectionSummary {
  readonly rejectionId: number
  readonly source: string
  /** When it came, for the last time if it came again. */
  readonly receivedAt: number
  readonly reason: RefusalCode
  /** By which the last of its requests is in the log. */
  readonly requestId: string
  readonly peer: string
  readonly bytes: number | null
  readonly times: number
  /** Validly signed, and on record with its body: it can be admitted. */
  readonly kept: boolean
}

export interface StoredRejection extends RejectionSummary {
  /** Those that the verification looked at. */
  readonly headers: Readonly<Record<string, string>>
  readonly contentType: string | null
  /** Null unless kept. */
  readonly body: Uint8Array | null
}

/** A kept rejection, the event that it holds, and where that is to go. */
export interface Admission {
  readonly rejectionId: number
  readonly event: NewEvent
  readonly deliveries: readonly NewDelivery[]
}

export interface Admitted {
  readonly rejectionId: number
  /** The id of the event on record: for a duplicate, the first one's. */
  readonly eventId: string
  readonly duplicate: boolean
}
