import type { LIFECYCLE_EVENTS } from '../domain/sample-event.ts'

export type LifecycleEvent = (typeof LIFECYCLE_EVENTS)[number]

/** What of a call tells how far it has come. Instants in epoch milliseconds; `undefined`: cannot be read. */
export interface CallProgress {
  readonly created: number | undefined
  readonly joined: number | null | undefined
  readonly ended: number | null | undefined
  readonly billingStatus: string | undefined
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
 * The lifecycle events a call has had by now, in their order, as far as its readable fields prove them: each field is
 * judged on its own. There is one of each name in the life of a call, and what a call has had it has for good. A call
 * that ends unjoined never gets `call.joined`; one may be ended and not billed for long.
 */
export function lifecycleOf({ created, joined, ended, billingStatus }: CallProgress): readonly LifecycleMoment[] {
  const moments: LifecycleMoment[] = []
  if (created !== undefined) moments.push({ event: 'call.started', at: created })
  if (joined != null) moments.push({ event: 'call.joined', at: joined })
  if (ended != null) moments.push({ event: 'call.ended', at: ended })
  if (billingStatus !== undefined && !UNBILLED.includes(billingStatus)) moments.push({ event: 'call.billed', at: null })
  return moments
}

/** Whether a call may still have an event that `lifecycleOf` does not prove: also where the field cannot be read. */
export function mayStillHave(event: string, { joined, ended }: CallProgress): boolean {
  return event !== 'call.joined' || joined !== null || ended == null
}

/** Whether a call's field that would prove an event can be read. */
export function isReadable(event: string, call: CallProgress): boolean {
  const field = FIELDS[event as LifecycleEvent]
  return field === undefined || call[field] !== undefined
}

const FIELDS: Readonly<Record<LifecycleEvent, keyof CallProgress>> = {
  'call.started': 'created',
  'call.joined': 'joined',
  'call.ended': 'ended',
  'call.billed': 'billingStatus',
}

/**
 * The body a webhook of this event would have: `{"event":"…","call":…}`. `call` is JSON text and goes in byte for byte,
 * for parsing it and writing it again would change it.
 */
export function eventBody(event: string, call: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`{"event":${JSON.stringify(event)},"call":`), call, Buffer.from('}')])
}
