import type { AttemptEntry, EventEntry, JournalEntry, RefusalEntry } from '../outbox/operator.ts'
import { iso } from './instant.ts'
import { type Style, styled } from './style.ts'
import { oneLine } from './table.ts'

/** An entry for people, in one line that begins with when and what, and ends with an error or a note where there is one. */
export function entryLine(entry: JournalEntry): string {
  const { result, style, about } = toldOf(entry)
  const outcome = result.padEnd(9)
  return [
    styled('dim', iso(entry.at)),
    entry.kind.padEnd(7),
    style === null ? outcome : styled(style, outcome),
    `${oneLine(about)}\n`,
  ].join('  ')
}

interface Told {
  readonly result: string
  readonly style: Style | null
  readonly about: string
}

function toldOf(entry: JournalEntry): Told {
  switch (entry.kind) {
    case 'event':
      return { result: 'received', style: null, about: `${eventOf(entry)} from ${entry.source}` }
    case 'attempt':
      return {
        result: entry.outcome,
        style: entry.outcome === 'delivered' ? 'green' : 'red',
        about: `${eventOf(entry)} to ${entry.target}, ${attemptOf(entry)}`,
      }
    case 'refusal':
      return { result: entry.reason, style: 'red', about: refusalOf(entry) }
  }
}

function eventOf({ event, callId }: EventEntry | AttemptEntry): string {
  return callId === null ? event : `${event} ${callId}`
}

function attemptOf({ deliveryId, attempt, durationMs, error, note }: AttemptEntry): string {
  const which = `delivery ${deliveryId}${attempt === 1 ? '' : `, attempt ${attempt}`}, ${durationMs} ms`
  const told = [error, note].filter((text) => text !== null).join('; ')
  return told === '' ? which : `${which}: ${told}`
}

function refusalOf({ source, peer, bytes }: RefusalEntry): string {
  return `at ${source} from ${peer}${bytes === null ? '' : `, ${bytes} bytes`}`
}
