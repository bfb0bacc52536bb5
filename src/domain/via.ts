/**
 * Names the relays through which an event has already passed, as 16 hex digits each, the last one first. A relay adds its own id
 * to each request that it makes, and rejects a request that has it: a target that leads back to the relay would otherwise loop.
 */
export const VIA_HEADER = 'x-relay-via'

/** An event that has passed through as many relays is rejected: a loop that changes the ids, or loses some of them, ends too. */
export const MOST_RELAYS = 8

const VIA = /^[0-9a-f]{16}(?:[\t ,]+[0-9a-f]{16})*$/

/**
 * Reads the header and returns the ids with a space between; null where it is absent, or not one that a relay has made: the header
 * proves nothing, so nothing hangs on it being well-formed.
 */
export function parseVia(text: string | undefined): string | null {
  return text !== undefined && VIA.test(text) ? text.split(/[\t ,]+/).join(' ') : null
}

/** Whether an event with these ids must not be accepted by the relay with this one. */
export function isLoop(via: string, relayId: string): boolean {
  return hasPassed(via, relayId) || via.split(' ').length >= MOST_RELAYS
}

/** Whether the relay with this id has sent an event with these ids. */
export function hasPassed(via: string, relayId: string): boolean {
  return via.split(' ').includes(relayId)
}

/** The ids for a request that this relay makes. */
export function viaFrom(relayId: string, via: string | null | undefined): string {
  return via == null ? relayId : `${relayId} ${via}`
}
