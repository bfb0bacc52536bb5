import { lookup as systemLookup } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { type Peculiarity, peculiarityOf, peculiarityOfHost } from '../domain/link-local.ts'
import { ToldError } from '../domain/network-error.ts'

/** Ends a rejection where a setting can allow the address. */
const ADVICE = '; set allowLinkLocal: true if it is meant'

/**
 * Resolves a name for a connection, without link-local addresses and those of cloud metadata services; fails where no
 * other is left. The connection is made to an address that this returned, so there is no second look-up in which the name
 * could stand for another one. Addresses are left out one by one because names of machines on the own network often have
 * a link-local address beside the one that is meant. `advice` is appended to the error.
 */
export function guarded(lookup: LookupFunction = systemLookup as LookupFunction, advice = ADVICE): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, options, (error, found, family) => {
      if (error !== null) return callback(error, found, family)
      const all = typeof found === 'string' ? [{ address: found, family: family ?? 0 }] : found
      const fine = all.filter(({ address }) => peculiarityOf(address) === null)
      if (fine.length > 0 || all.length === 0) return callback(null, typeof found === 'string' ? found : fine, family)
      const { address } = all[0]!
      callback(rejection(`${address} (${hostname})`, peculiarityOf(address)!, advice), '', 0)
    })
  }
}

/** Node's own look-up, guarded; for connections that no setting allows to lead to such an address. */
export const guardedLookup: LookupFunction = guarded(systemLookup as LookupFunction, '')

/** Why a host is not connected to by what it is written as: an address is never looked up. Null where it may be. */
export function rejectionOfHost(hostname: string, advice = ADVICE): ToldError | null {
  const peculiarity = peculiarityOfHost(hostname)
  return peculiarity === null ? null : rejection(hostname, peculiarity, advice)
}

function rejection(peer: string, peculiarity: Peculiarity, advice: string): ToldError {
  return new ToldError(`connect: ${peer} is ${peculiarity}${advice}`)
}
