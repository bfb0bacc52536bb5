import { BlockList, isIP, isIPv4, isIPv6, SocketAddress } from 'node:net'

/** The client that a request comes from. */
export interface Peer {
  /** Canonical text of its IP address: no port, no zone, and IPv4 where IPv6 only wraps it. */
  readonly address: string
  /** The unit that limits are counted by: an IPv4 address, or the /64 of an IPv6 address, of which one host usually has all. */
  readonly network: string
}

/** The longest form is an IPv6 address with a zone, in brackets, with a port. */
const LONGEST_ENTRY = 100
const BRACKETED = /^\[([^\]]*)\](?::\d{0,5})?$/
const IPV4_WITH_PORT = /^([\d.]+):\d{0,5}$/
/** Only a full IPv6 address can be told from its port without brackets. */
const FULL_IPV6_WITH_PORT = /^((?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}):\d{1,5}$/i
const WRAPPED_IPV4 = /^::ffff:(?=[\d.]+$)/

/** Reads an entry of X-Forwarded-For, with or without a port, brackets, quotes or a zone. Null if it is not an IP address. */
export function parsePeer(entry: string): Peer | null {
  if (entry.length > LONGEST_ENTRY) return null
  const text = entry.trim().replace(/^"(.*)"$/, '$1')
  const host = (BRACKETED.exec(text) ?? IPV4_WITH_PORT.exec(text) ?? FULL_IPV6_WITH_PORT.exec(text))?.[1] ?? text
  return peerAt(host)
}

/** The peer with an IP address, as sockets report it. Null if it is not one. */
export function peerAt(address: string): Peer | null {
  if (isIPv4(address)) return { address, network: address }
  if (!isIPv6(address)) return null
  const canonical = new SocketAddress({ address: address.replace(/%.*$/, ''), family: 'ipv6' }).address
  const ipv4 = canonical.replace(WRAPPED_IPV4, '')
  return ipv4 === canonical ? { address: canonical, network: networkOf(canonical) } : { address: ipv4, network: ipv4 }
}

/** The /64 of a canonical IPv6 address. */
function networkOf(address: string): string {
  const [head, tail] = address.split('::', 2)
  const groups = head === '' ? [] : head!.split(':')
  if (tail !== undefined) {
    const after = tail === '' ? [] : tail.split(':')
    const ending = after.length + (tail.includes('.') ? 1 : 0)
    groups.push(...Array<string>(8 - groups.length - ending).fill('0'), ...after)
  }
  return `${groups.slice(0, 4).join(':')}::/64`
}

/** Tells the addresses of reverse proxies from all others. `addresses`: IP addresses and CIDRs. */
export function createProxyMatcher(addresses: readonly string[]): (address: string) => boolean {
  const list = new BlockList()
  for (const entry of addresses) {
    const [written, prefix] = entry.split('/') as [string, string?]
    const { address } = peerAt(written)!
    const family = isIPv4(address) ? 'ipv4' : 'ipv6'
    const bits = prefix === undefined ? undefined : Number(prefix) - (isIP(written) === 6 && family === 'ipv4' ? 96 : 0)
    // A prefix that reaches beyond the IPv4 part of a wrapped address matches addresses of both families.
    if (bits !== undefined && bits < 0) list.addSubnet(written, Number(prefix), 'ipv6')
    else if (bits === undefined) list.addAddress(address, family)
    else list.addSubnet(address, bits, family)
  }
  return (address) => list.check(address, isIPv4(address) ? 'ipv4' : 'ipv6')
}

/**
 * Names the client behind reverse proxies: the rightmost entry of X-Forwarded-For that a proxy in the chain did not add for
 * another one. An entry that is not an IP address identifies no client, so the connection's own peer counts.
 */
export function clientOf(connected: Peer, forwarded: string | undefined, isProxy: (address: string) => boolean): Peer {
  let client = connected
  let rest = forwarded ?? ''
  while (rest !== '' && isProxy(client.address)) {
    const comma = rest.lastIndexOf(',')
    const named = parsePeer(rest.slice(comma + 1))
    if (named === null) return connected
    client = named
    rest = rest.slice(0, Math.max(0, comma))
  }
  return client
}
