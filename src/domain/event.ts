import { createHash } from 'node:crypto'

/** How an event came in: from the provider, or made by the relay about itself. */
export type Origin = 'webhook' | 'reconcile' | 'relay'

/** A genuine event, before it is recorded. */
export interface NewEvent {
  /** Used if the event turns out to be new; a duplicate keeps the id of the first. */
  readonly eventId: string
  readonly source: string
  /**
   * The scope of the event's identity, which is account, event name and call id: the provider account that the source belongs
   * to. Absent: the source's name.
   */
  readonly account?: string
  /** The provider's name for it, such as `call.ended`. */
  readonly event: string
  /** `call.callId`, or null where the payload has none. */
  readonly callId: string | null
  /** Epoch milliseconds. */
  readonly receivedAt: number
  readonly origin: Origin
  /** The Content-Type header as received. */
  readonly contentType: string | null
  /** Exactly the bytes received. */
  readonly body: Uint8Array
  /** Where it belongs in a trace, see `domain/trace-context.ts`. Absent: whoever records it gives it one. */
  readonly traceparent?: string
  /** What came with that from the sender's tracing system. */
  readonly tracestate?: string | null
}

/** A payload that can be relayed: a JSON object with a non-empty string `event`. */
export interface Payload {
  readonly event: string
  readonly call?: unknown
  readonly [key: string]: unknown
}

/** What payloads were read from. */
const bodies = new WeakMap<Payload, Uint8Array>()

/** The JSON text that a payload was read from; of one that was made here, one that is equal to it. */
export function bodyOf(payload: Payload): Uint8Array {
  return bodies.get(payload) ?? Buffer.from(JSON.stringify(payload))
}

/**
 * A payload that has no more than makes an event's identity, of a body that was read elsewhere. `callId` as from
 * `callIdOf`; null is one that no text can be read as.
 */
export function abridgedPayload(event: string, callId: string | null, body: Uint8Array): Payload {
  const payload: Payload = { event, call: { callId } }
  bodies.set(payload, body)
  abridged.add(payload)
  return payload
}

/** Whether a payload lacks what its body has. */
export function isAbridged(payload: Payload): boolean {
  return abridged.has(payload)
}

const abridged = new WeakSet<Payload>()

/** Reads a body as an event's payload, or says what is wrong with it. Never throws. */
export function parsePayload(body: Uint8Array): { readonly payload: Payload } | { readonly problem: string } {
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8'))
  } catch {
    return { problem: 'the body is not JSON' }
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { problem: 'the body is not a JSON object' }
  }
  const { event } = value as { event?: unknown }
  if (typeof event !== 'string' || event === '') return { problem: 'the body has no string "event"' }
  const payload = value as Payload
  bodies.set(payload, body)
  return { payload }
}

/** What bytes that are no UTF-8 are read as, whichever they are. */
const REPLACEMENT = '\ufffd'

/**
 * `call.callId` of a payload, or null where it is absent, empty or no string. Null too where it or the event's name may be
 * read from other bytes: what differs in nothing else would be taken for a duplicate, and be lost.
 */
export function callIdOf(payload: Payload): string | null {
  const { call, event } = payload
  if (event.includes(REPLACEMENT)) return null
  if (typeof call !== 'object' || call === null) return null
  const { callId } = call as { callId?: unknown }
  return typeof callId === 'string' && callId !== '' && !callId.includes(REPLACEMENT) ? callId : null
}

/** What stands in for the call id in the identity of an event that has none: the hex SHA-256 of its body. */
export function bodyHash(body: Uint8Array): string {
  return createHash('sha256').update(body).digest('hex')
}
