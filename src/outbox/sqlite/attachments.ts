import type Database from 'better-sqlite3'
import type { AttachmentKind } from '../../domain/attachments.ts'
import type { KeptAttachment } from '../attachments.ts'

export interface SqliteAttachmentStore {
  attachment(eventId: string, kind: AttachmentKind): KeptAttachment | null
  saveAttachment(eventId: string, kind: AttachmentKind, attachment: KeptAttachment): void
  isPending(deliveryId: number, round: number): boolean
  eventsWithRecording(): string[]
}

/** Nothing here removes one: the trigger `attachments_done` does, whoever ends an event's last delivery. */
export function createAttachmentStore(database: Database.Database): SqliteAttachmentStore {
  const select = database.prepare(`
    select a.content_type as contentType, a.body
    from events e
    join attachments a on a.event_seq = e.event_seq
    where e.event_id = @eventId and a.kind = @kind`)
  const replace = database.prepare(`
    insert or replace into attachments (event_seq, kind, content_type, body)
    select event_seq, @kind, @contentType, @body
    from events e
    where event_id = @eventId and exists (select 1 from live_deliveries l where l.event_seq = e.event_seq)`)
  const pending = database.prepare('select 1 from live_deliveries where delivery_id = @deliveryId and round = @round')
  const recorded = database
    .prepare(`
    select e.event_id
    from attachments a
    join events e on e.event_seq = a.event_seq
    where a.kind = 'recording'`)
    .pluck()

  return {
    attachment: (eventId, kind) => (select.get({ eventId, kind }) as KeptAttachment | undefined) ?? null,
    saveAttachment(eventId, kind, attachment) {
      replace.run({ eventId, kind, ...attachment })
    },
    isPending: (deliveryId, round) => pending.get({ deliveryId, round }) !== undefined,
    eventsWithRecording: () => recorded.all() as string[],
  }
}
