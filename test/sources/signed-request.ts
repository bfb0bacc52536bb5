import { createHmac } from 'node:crypto'
import type { SignedRequest } from '../../src/sources/scheme.ts'

export const TIMESTAMP = 'x-ultravox-webhook-timestamp'
export const SIGNATURE = 'x-ultravox-webhook-signature'

/** Written apart from the relay's own signing, so that both cannot be wrong in the same way. */
export function sign(secret: string, body: Uint8Array, timestamp: string): string {
  return createHmac('sha256', Buffer.from(secret, 'utf8'))
    .update(Buffer.concat([body, Buffer.from(timestamp, 'latin1')]))
    .digest('hex')
}

/** A request as Node hands it over: header names in lower case, repeated ones joined with a comma and a space. */
export function signedRequest(
  body: Uint8Array,
  timestamps: readonly string[],
  signatures: readonly string[],
): SignedRequest {
  const headers: Record<string, readonly string[]> = { [TIMESTAMP]: timestamps, [SIGNATURE]: signatures }
  const valuesOf = (name: string) => headers[name] ?? []
  return {
    body,
    header: (name) => (valuesOf(name).length === 0 ? undefined : valuesOf(name).join(', ')),
    headerCount: (name) => valuesOf(name).length,
  }
}
