import type { LookupAddress } from 'node:dns'
import { type Peculiarity, peculiarityOf, peculiarityOfHost } from '../domain/link-local.ts'
import { ToldError } from '../domain/network-error.ts'

/** Ends a rejection where a setting can allow the address. */
const ADVICE = '; set allowLinkLocal: true if it is meant'

/**
 * The addresses of a name that may be connected to: not link-local ones, nor those of cloud metadata services. Throws
 * `ToldError`, which ends with `advice`, where no other is left. Connections are made to the addresses that this returns, so
 * there is no second look-up in which the name could stand for another one. Addresses are left out one by one because names
 * of machines on the own network often have a link-local address beside the one that is meant.
 */
export function permittedAddresses(
  hostname: string,
  addresses: readonly LookupAddress[],
  advice = ADVICE,
): readonly LookupAddress[] {
  const permitted = addresses.filter(({ address }) => peculiarityOf(address) === null)
  if (permitted.length > 0 || addresses.length === 0) return permitted
  const { address } = addresses[0]!
  throw rejection(`${address} (${hostname})`, peculiarityOf(address)!, advice)
}

/** Why a host is not connected to by what it is written as: an address is never looked up. Null where it may be. */
export function rejectionOfHost(hostname: string, advice = ADVICE): ToldError | null {
  const peculiarity = peculiarityOfHost(hostname)
  return peculiarity === null ? null : rejection(hostname, peculiarity, advice)
}

function rejection(peer: string, peculiarity: Peculiarity, advice: string): ToldError {
  return new ToldError(`connect: ${peer} is ${peculiarity}${advice}`)
}
