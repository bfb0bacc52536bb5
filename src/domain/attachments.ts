import type { DeliveredEvent, Delivery, RecordingFile } from './delivery.ts'
import type { Outcome } from './outcome.ts'
import type { Secret } from './secret.ts'

/** What can be fetched of an event's call and sent along with it. */
export type AttachmentKind = 'transcript' | 'recording'

/** What a target wants, and the recording in which form; null: not at all. */
export interface WantedAttachments {
  readonly transcript: boolean
  readonly recording: 'url' | 'file' | null
}

/**
 * What was fetched for an attempt. Null where the provider has none, or the wait for a usable one is over; absent where it
 * is not wanted.
 */
export interface Attached {
  readonly kind: 'attached'
  /** JSON text of a list: the messages as the provider wrote them. */
  readonly transcript?: Uint8Array | null
  readonly recording?: RecordingUrl | RecordingFile | null
  /** To be called when the attempt is over: takes back the file. */
  readonly release: () => Promise<void>
}

export interface RecordingUrl {
  /** May itself be the permission to read it. */
  readonly url: Secret
  /** Whether it takes the key of the provider's API. */
  readonly needsApiKey: boolean
}

/** Where the attachments of events come from. */
export interface Attachments {
  /**
   * What is wanted of the event's call, or why it cannot be had. Never throws. Several that want the same at once share
   * one fetch, and what was fetched is kept for the event's other deliveries. `triedSince`: when the delivery was first
   * tried (epoch milliseconds), null in its first attempt; the wait for a missing attachment is measured from it.
   */
  fetch(
    event: DeliveredEvent,
    wanted: WantedAttachments,
    signal: AbortSignal,
    triedSince?: number | null,
  ): Promise<Attached | NotAttached>

  /** Whether a claimed delivery is still to be sent: it may have been cancelled while something was fetched. Never rejects. */
  isPending(delivery: Delivery): Promise<boolean>
}

export type NotAttached = Exclude<Outcome, { kind: 'delivered' }>
