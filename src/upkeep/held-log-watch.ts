import { logHeld, walReleased } from '../alerts/outbox-events.ts'
import type { Alert } from '../alerts/relay-event.ts'
import type { Watch } from '../alerts/watches.ts'
import { MUCH_LOG_BYTES, type RetentionStore } from '../outbox/retention.ts'

export interface HeldLogOptions {
  readonly store: Pick<RetentionStore, 'heldLogBytes'>
  /** Of the outbox, to name the file by which the reader is found. */
  readonly path: string
  readonly raise: (alert: Alert) => void
  readonly recovered: (alert: Alert) => void
}

/**
 * Tells that somebody's reading keeps the outbox's log from being taken over, so that it grows: once, until that is over.
 * Only what two looks in a row have seen counts: a backup may well take a minute.
 */
export function watchHeldLog({ store, path, raise, recovered }: HeldLogOptions): Watch {
  let seen = 0
  return {
    name: 'held log',
    everyMs: 60_000,
    async check() {
      const bytes = await store.heldLogBytes()
      seen = bytes < MUCH_LOG_BYTES ? 0 : seen + 1
      if (seen === 0) recovered(walReleased())
      if (seen === 2) raise(logHeld(bytes, path))
    },
  }
}
