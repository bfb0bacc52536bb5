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
  const callId = callIdOf(payload)
  // By its body alone it would be another event each time the call has changed.
  if (callId === null) throw new RelayError('payload_invalid', 'a fetched event has no call id that can be one')
  const event: NewEvent = {
    eventId,
    source,
    account,
    event: payload.event,
    callId,
    receivedAt: now,
    origin: 'reconcile',
    contentType: 'application/json',
    body,
  }
  return { event, payload }
}
