import type { Config } from '../config/config.ts'
import { callIdOf, type NewEvent, parsePayload } from '../domain/event.ts'
import type { Admission, StoredRejection } from '../outbox/operator.ts'
import { deliveriesTo, type Router } from './todays-routes.ts'

/** A rejection that cannot be admitted, and why. */
export interface Refused {
  readonly rejectionId: number
  readonly problem: string
}

/** The event that a kept rejection holds, as it would have been recorded when it came, and where it goes today. */
export async function admissionOf(
  { rejectionId, source, receivedAt, contentType, body }: StoredRejection,
  config: Config,
  route: Router,
): Promise<Admission | Refused> {
  if (body === null) return { rejectionId, problem: 'its body was not kept' }
  const parsed = parsePayload(body)
  if ('problem' in parsed) return { rejectionId, problem: parsed.problem }
  const { payload } = parsed
  // Loaded here only: few commands make an event's id, and all would wait for it.
  const { newEventId } = await import('../event-id.ts')
  const event: NewEvent = {
    eventId: newEventId(),
    source,
    event: payload.event,
    callId: callIdOf(payload),
    receivedAt,
    origin: 'webhook',
    contentType,
    body,
  }
  const targets = await route(payload, `rejection ${rejectionId}`)
  return { rejectionId, event, deliveries: deliveriesTo(config, targets) }
}
