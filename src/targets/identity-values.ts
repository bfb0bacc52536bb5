import type { Delivery } from '../domain/delivery.ts'

/** Longest value, in characters. */
const LIMIT = 1024

/** Visible ASCII, except `%`, which marks what is encoded. */
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

/** Returns text from outside as visible ASCII, see `percentEncoded`, cut to 1,024 characters. */
export function visible(value: string): string {
  return value.length <= LIMIT && PLAIN.test(value) ? value : percentEncoded(value, PLAIN, LIMIT)
}

/**
 * Percent-encodes as UTF-8 what `plain` does not match, so that `decodeURIComponent` gives the text back. Cuts to `limit`
 * characters, never within an encoded one. Half a surrogate pair becomes U+FFFD.
 */
export function percentEncoded(value: string, plain: RegExp, limit: number): string {
  let encoded = ''
  for (const character of value) {
    const next = plain.test(character) ? character : encodeURIComponent(character.replace(/\p{Cs}/u, '\ufffd'))
    if (encoded.length + next.length > limit) break
    encoded += next
  }
  return encoded
}
