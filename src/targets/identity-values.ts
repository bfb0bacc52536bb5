import type { Delivery } from '../domain/delivery.ts'

/** Longest value, in characters. */
const LIMIT = 1024

/** Printable as it is: visible ASCII, except `%`, which marks what is encoded. */
const PLAIN = /^[\x21-\x24\x26-\x7e]*$/

/** What every delivery tells about itself, beside its body, ready to stand in a header or an environment variable. */
export interface IdentityValues {
  readonly eventId: string
  readonly event: string
  /** Empty where the event belongs to no call. */
  readonly callId: string
  readonly source: string
  readonly target: string
  /** 1 for the first. */
  readonly attempt: string
}

export function identityValues({ event, target, attempts }: Delivery): IdentityValues {
  return {
    eventId: visible(event.eventId),
    event: visible(event.event),
    callId: visible(event.callId ?? ''),
    source: visible(event.source),
    target: visible(target),
    attempt: String(attempts + 1),
  }
}

/**
 * Text from outside as visible ASCII: all else, and `%` itself, percent-encoded as UTF-8, so that `decodeURIComponent`
 * gives it back. Cut to 1,024 characters, never within an encoded one. Half a surrogate pair becomes U+FFFD.
 */
export function visible(value: string): string {
  if (value.length <= LIMIT && PLAIN.test(value)) return value
  let encoded = ''
  for (const character of value) {
    const next = PLAIN.test(character) ? character : encodeURIComponent(character.replace(/\p{Cs}/u, '\ufffd'))
    if (encoded.length + next.length > LIMIT) break
    encoded += next
  }
  return encoded
}
