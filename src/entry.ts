import type { SilentSources } from './alerts/silent-sources.ts'
import { ADMISSION_LIMITS, admit } from './ingest/admission.ts'
import type { ReceiverOptions } from './ingest/receiver.ts'

/** What it takes to make an event of something: what a source has brought, or the relay has to tell. */
export type Entry = Pick<ReceiverOptions, 'newEventId' | 'route' | 'record'>

/** For what sources bring: then they have been heard of, even if it cannot be stored now. */
export function heardBy(silence: SilentSources, entry: Entry): Entry {
  const record = admit(entry.record, ADMISSION_LIMITS)
  return {
    ...entry,
    record(event, targets) {
      silence.heard(event.source)
      return record(event, targets)
    },
  }
}
