import type { LIFECYCLE_EVENTS } from '../domain/sample-event.ts'

export type LifecycleEvent = (typeof LIFECYCLE_EVENTS)[number]

/** What of a call tells how far it has come. Instants in epoch milliseconds. */
export interface CallProgress {
  readonly created: number
  readonly joined: number | null
  readonly ended: number | null
  readonly billingStatus: string
}

/** An event that a call has had. */
export interface LifecycleMoment {
  readonly event: LifecycleEvent
  /** When, in epoch milliseconds; null where the call does not say: nothing in it tells when it was billed. */
  readonly at: number | null
}

/** The two billing statuses of a call that has not been billed. Any other, known to us or not, is an answer. */
const UNBILLED = ['BILLING_STATUS_PENDING', 'BILLING_STATUS_UNSPECIFIED']

/**
 * The lifecycle events a call has had by now, in their order. There is one of each name in the life of a call, and what
 * a call has had it has for good. A call that ends unjoined never gets `call.joined`; one may be ended and not billed for
 * long.
 */
export function lifecycleOf(call: CallProgress): readonly LifecycleMoment[] {
  const moments: LifecycleMoment[] = [{ event: 'call.started', at: call.created }]
  if (call.joined !== null) moments.push({ event: 'call.joined', at: call.joined })
  if (call.ended !== null) moments.push({ event: 'call.ended', at: call.ended })
  if (!UNBILLED.includes(call.billingStatus)) moments.push({ event: 'call.billed', at: null })
  return moments
}

/**
 * The body a webhook of this event would have: `{"event":"…","call":…}`. `call` is JSON text and goes in byte for byte,
 * for parsing it and writing it again would change it.
 */
export function eventBody(event: string, call: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`{"event":${JSON.stringify(event)},"call":`), call, Buffer.from('}')])
}
