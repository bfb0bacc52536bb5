import { createHash } from 'node:crypto'
import { parseJson } from './json-bytes.ts'

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
  /** `callIdOf` its payload; null where the body's hash identifies the event. */
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
  /** The relays through which it has passed, see `domain/via.ts`; null or absent: none. */
  readonly via?: string | null
  /** Of an alert that quotes what a target said about an event: once that event is erased, `erasedBody` is recorded instead. */
  readonly quotes?: { readonly eventId: string; readonly erasedBody: Uint8Array }
}

/** Longest name of an event, in UTF-16 code units. Names are kept for as long as duplicates are recognised, and logged. */
export const EVENT_NAME_LIMIT = 256

/** Longest call id that identifies an event, in UTF-16 code units. Those of Ultravox have 36. */
const CALL_ID_LIMIT = 256

/** A payload that can be relayed: a JSON object with a non-empty string `event`. */
export interface Payload {
  /** Well-formed Unicode, `EVENT_NAME_LIMIT` at most: half a surrogate pair is read as U+FFFD. */
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

/** Reads a body as an event's payload, as `parseJson` does, or says what is wrong with it. Never throws. */
export function parsePayload(body: Uint8Array): { readonly payload: Payload } | { readonly problem: string } {
  let value: unknown
  try {
    value = parseJson(body)
  } catch {
    return { problem: 'the body is not JSON' }
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { problem: 'the body is not a JSON object' }
  }
  const { event } = value as { event?: unknown }
  if (typeof event !== 'string' || event === '') return { problem: 'the body has no string "event"' }
  if (event.length > EVENT_NAME_LIMIT) {
    return { problem: `the "event" has ${event.length} characters; at most ${EVENT_NAME_LIMIT} are allowed` }
  }
  const payload: Payload = event.isWellFormed() ? (value as Payload) : { ...value, event: event.toWellFormed() }
  bodies.set(payload, body)
  return { payload }
}

/** What bytes that are not UTF-8 are read as, whichever they are. */
const REPLACEMENT = '\ufffd'

/**
 * Whether a text can be a part of an identity: exactly one value, whichever SQLite driver stores it and whatever compares it.
 * Drivers store half a surrogate pair as they like, several SQL functions stop at NUL, and U+FFFD stands for any bytes that
 * are not UTF-8. Unicode normalisation is left alone: different code points are different texts.
 */
function isDistinct(text: string): boolean {
  return text.isWellFormed() && !text.includes(REPLACEMENT) && !text.includes('\0')
}

/** Whether a call id can be a part of an event's identity. */
export function isCallId(callId: string): boolean {
  return callId !== '' && callId.length <= CALL_ID_LIMIT && isDistinct(callId)
}

/**
 * `call.callId` of a payload, or null where it is absent or not a usable call id, or the event's name is ambiguous. The body's
 * hash then identifies the event: what differs in nothing else would be taken for a duplicate, and be lost.
 */
export function callIdOf(payload: Payload): string | null {
  const { call, event } = payload
  if (!isDistinct(event)) return null
  if (typeof call !== 'object' || call === null) return null
  const { callId } = call as { callId?: unknown }
  return typeof callId === 'string' && isCallId(callId) ? callId : null
}

/** What stands in for the call id in the identity of an event that has none: the hex SHA-256 of its body. */
export function bodyHash(body: Uint8Array): string {
  return createHash('sha256').update(body).digest('hex')
}
