import { createHmac, createSecretKey, type KeyObject } from 'node:crypto'
import type { Secret } from './secret.ts'

export const SIGNATURE_HEADER = 'x-ultravox-webhook-signature'
export const TIMESTAMP_HEADER = 'x-ultravox-webhook-timestamp'

/** A secret made ready for signing: its UTF-8 bytes. */
export function ultravoxKey(secret: Secret): KeyObject {
  return createSecretKey(Buffer.from(secret.reveal(), 'utf8'))
}

/**
 * Ultravox's signature: HMAC-SHA256 over the raw body followed directly by the text of the timestamp header.
 * latin1: the header's bytes as they travel.
 */
export function ultravoxDigest(key: KeyObject, body: Uint8Array, timestamp: string): Buffer {
  return createHmac('sha256', key).update(body).update(timestamp, 'latin1').digest()
}

/** The headers (name, value, …) of a request sent at `now`, with one lower-case hex signature per key. */
export function ultravoxHeaders(keys: readonly KeyObject[], body: Uint8Array, now: number): string[] {
  return headersAt(keys, body, timestampText(now, 'naive'))
}

/** The headers (name, value, …) of a request with this timestamp, whatever its form. */
export function headersAt(keys: readonly KeyObject[], body: Uint8Array, timestamp: string): string[] {
  const signatures = keys.map((key) => ultravoxDigest(key, body, timestamp).toString('hex'))
  return [TIMESTAMP_HEADER, timestamp, SIGNATURE_HEADER, signatures.join(',')]
}

/** How the time zone, always UTC, is written. */
export const TIMESTAMP_FORMS = ['naive', 'z', 'offset'] as const

/**
 * UTC with six fraction digits. `naive` has no offset, as what Ultravox sends: the provider's sample receivers compare the
 * parsed header with a clock reading that has no zone either; in Python, subtracting one kind from the other raises an
 * error. With `Z` at the end a receiver built on such a sample would fail on every delivery.
 */
export function timestampText(now: number, form: (typeof TIMESTAMP_FORMS)[number]): string {
  const zone = { naive: '', z: 'Z', offset: '+00:00' }[form]
  return new Date(now).toISOString().replace('Z', `000${zone}`)
}
