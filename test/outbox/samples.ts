import type { Attempt, Delivery, NewDelivery } from '../../src/domain/delivery.ts'
import type { NewEvent } from '../../src/domain/event.ts'

/** That of the specification. */
export const TRACEPARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'

let eventNumber = 0

/** A new event about a call of its own; `given` overrides. */
export function newEvent(given: Partial<NewEvent> = {}): NewEvent {
  eventNumber += 1
  const callId = `call-${eventNumber}`
  return {
    eventId: `evt_${eventNumber}`,
    source: 'ultravox',
    event: 'call.ended',
    callId,
    receivedAt: 1_000,
    origin: 'webhook',
    contentType: 'application/json',
    body: Buffer.from(JSON.stringify({ event: 'call.ended', call: { callId } })),
    ...given,
  }
}

/** Deliveries to these targets, in no particular order. */
export function to(...targets: string[]): NewDelivery[] {
  return targets.map((target) => ({ target, ordered: false }))
}

/** An attempt at a delivery that ended as said. */
export function attemptAt(delivery: Delivery, outcome: Attempt['outcome'], startedAt = 2_000): Attempt {
  return {
    attempt: delivery.attempts + 1,
    startedAt,
    durationMs: 5,
    outcome,
    status: outcome === 'delivered' ? 200 : 503,
    error: outcome === 'delivered' ? null : 'http 503',
    response: 'answer',
    note: null,
  }
}
