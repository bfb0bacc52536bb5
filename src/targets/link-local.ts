import { lookup as systemLookup } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { type Peculiarity, peculiarityOf } from '../domain/link-local.ts'
import { ToldError } from '../domain/network-error.ts'

/**
 * Resolves a name for a connection, without the addresses of the own link and of cloud metadata services; fails where
 * no other is left. The connection is made to an address that this gave, so there is no second look-up in which the name
 * could stand for another one. Addresses are left out one by one because names of machines on the own network often have
 * a link-local address beside the one that is meant.
 */
export function guarded(lookup: LookupFunction = systemLookup as LookupFunction): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, options, (error, found, family) => {
      if (error !== null) return callback(error, found, family)
      const all = typeof found === 'string' ? [{ address: found, family: family ?? 0 }] : found
      const fine = all.filter(({ address }) => peculiarityOf(address) === null)
      if (fine.length > 0 || all.length === 0) return callback(null, typeof found === 'string' ? found : fine, family)
      const { address } = all[0]!
      callback(refusal(`${address} (${hostname})`, peculiarityOf(address)!), '', 0)
    })
  }
}

/** Why a host that is itself an address is not connected to; no name is looked up for one. */
export function refusalOfHost(hostname: string): ToldError | null {
  const peculiarity = peculiarityOf(hostname)
  return peculiarity === null ? null : refusal(hostname, peculiarity)
}

function refusal(peer: string, peculiarity: Peculiarity): ToldError {
  return new ToldError(`connect: ${peer} is ${peculiarity}; set allowLinkLocal: true if it is meant`)
}
