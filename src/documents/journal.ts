import type { JournalEntry } from '../outbox/operator.ts'
import { iso } from './instants.ts'

/** An entry for scripts: instants in ISO. */
export function entryDocument(entry: JournalEntry): object {
  const { kind, at, ...rest } = entry
  const more = entry.kind === 'attempt' ? { startedAt: iso(entry.startedAt) } : {}
  return { kind, at: iso(at), ...rest, ...more }
}
