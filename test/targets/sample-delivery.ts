import { setMaxListeners } from 'node:events'
import type { DeliveredEvent, Delivery } from '../../src/domain/delivery.ts'

export const NOW = Date.UTC(2026, 0, 15, 12, 0, 0, 123)
export const clock = { now: () => NOW }

/** A signal that never fires, shared by many attempts as a lane's is. */
export const running = new AbortController().signal
setMaxListeners(0, running)

/** A delivery of a `call.ended`, with what a test wants different. */
export function sampleDelivery(event: Partial<DeliveredEvent> = {}, delivery: Partial<Delivery> = {}): Delivery {
  return {
    deliveryId: 7,
    target: 'crm',
    attempts: 0,
    round: 1,
    roundAttempts: 0,
    firstAttemptAt: null,
    ...delivery,
    event: {
      eventId: '0190b3c4-7a5e-7cc1-9f7e-3b1f5d2a8e11',
      source: 'ultravox',
      event: 'call.ended',
      callId: '3c90c3cc-0d44-4b50-8888-8dd25736052a',
      receivedAt: NOW - 1_500,
      contentType: 'application/json',
      body: Buffer.from('{"event":"call.ended","call":{"callId":"3c90c3cc-0d44-4b50-8888-8dd25736052a"}}'),
      ...event,
    },
  }
}

/** A delivery of a payload, as the relay would have taken it. */
export function deliveryOf(payload: { event: string; call?: unknown }): Delivery {
  const callId = (payload.call as { callId?: string } | undefined)?.callId ?? null
  return sampleDelivery({ event: payload.event, callId, body: Buffer.from(JSON.stringify(payload)) })
}
