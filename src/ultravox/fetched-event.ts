import { RelayError } from '../domain/errors.ts'
import { callIdOf, type NewEvent, type Payload, parsePayload } from '../domain/event.ts'

/**
 * An event as it is recorded when its webhook never came. Throws `payload_invalid` for a body that is none: what the
 * provider's API gives as a call was JSON, and still may have a name of a key twice.
 */
export function fetchedEvent(
  source: string,
  account: string,
  body: Buffer,
  eventId: string,
  now: number,
): { readonly event: NewEvent; readonly payload: Payload } {
  const parsed = parsePayload(body)
  if ('problem' in parsed) throw new RelayError('payload_invalid', `a fetched event is no payload: ${parsed.problem}`)
  const { payload } = parsed
  const event: NewEvent = {
    eventId,
    source,
    account,
    event: payload.event,
    callId: callIdOf(payload),
    receivedAt: now,
    origin: 'reconcile',
    contentType: 'application/json',
    body,
  }
  return { event, payload }
}
