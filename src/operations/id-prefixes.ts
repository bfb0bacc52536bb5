import { RelayError } from '../domain/errors.ts'
import { oneLine } from '../domain/one-line.ts'
import type { OutboxOperator } from '../outbox/operator.ts'

/** So many ids are named where a prefix could mean several. */
const NAMED = 10
/** Ids to look for: one more shows that not all are named. */
export const MOST_FOUND = NAMED + 1

/** Finds what has an id: events and calls. Deliveries and rejections are numbers, and a part of a number is another number. */
export type IdFinder = Pick<OutboxOperator, 'findEvents' | 'findCalls'>

/**
 * Resolves ids of events, each whole or a beginning that no other one has. What nothing is known of stays as it is. Throws
 * `usage` with the candidates.
 */
export async function wholeEventIds(operator: IdFinder, asked: readonly string[]): Promise<string[]> {
  return Promise.all(asked.map(async (id) => wholeId('event', id, await operator.findEvents(id, MOST_FOUND))))
}

/** The same for the id of a call. */
export async function wholeCallId(operator: IdFinder, asked: string): Promise<string> {
  return wholeId('call', asked, await operator.findCalls(asked, MOST_FOUND))
}

/** The ids that a filter has, in full. */
export async function withWholeIds<T extends { call?: string; eventId?: string[]; after?: string | number }>(
  operator: IdFinder,
  asked: T,
): Promise<T> {
  const { call, eventId, after } = asked
  return {
    ...asked,
    ...(call !== undefined && { call: await wholeCallId(operator, call) }),
    ...(eventId !== undefined && { eventId: await wholeEventIds(operator, eventId) }),
    ...(typeof after === 'string' && { after: (await wholeEventIds(operator, [after]))[0] }),
  }
}

/** `found`: ids that begin so, in their order. Throws `usage` if they are several and none is exactly what was asked. */
export function wholeId(what: 'event' | 'call', asked: string, found: readonly string[]): string {
  if (found.length === 0 || found.includes(asked)) return asked
  if (found.length === 1) return found[0]!
  const names = found.slice(0, NAMED).map((each) => `  ${oneLine(each)}\n`)
  const more = found.length > NAMED ? '  and more\n' : ''
  throw new RelayError(
    'usage',
    `several ${what}s begin with "${oneLine(asked)}":\n${names.join('')}${more}name one of them`,
  )
}
