import type { AttachmentKind } from '../domain/attachments.ts'

/**
 * What was fetched for the deliveries of events, kept so that a retry and other targets need not fetch it again. It is
 * gone in the transaction that ends the event's last delivery.
 */
export interface AttachmentStore {
  /** Null where none is kept. */
  attachment(eventId: string, kind: AttachmentKind): Promise<KeptAttachment | null>

  /** Keeps an attachment, in the place of an earlier one. Of an event with no unfinished delivery, nothing is kept. */
  saveAttachment(eventId: string, kind: AttachmentKind, attachment: KeptAttachment): Promise<void>

  /** Whether a delivery is unfinished, and in the same round of attempts. */
  isPending(deliveryId: number, round: number): Promise<boolean>

  /** The ids of the events whose recording is kept. */
  eventsWithRecording(): Promise<string[]>
}

export interface KeptAttachment {
  readonly contentType: string
  /** Null where it lies in a file. */
  readonly body: Uint8Array | null
}
