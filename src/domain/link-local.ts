/** Why an address or a host is not connected to unless the configuration allows it. */
export type Peculiarity = 'a link-local address' | 'the address of a cloud metadata service'

/**
 * Where clouds hand out the credentials of the machine to whatever can make a request from it, outside of the link-local
 * ranges: Alibaba, Azure (wire server), Oracle, AWS (instance metadata, EKS pod identity), Google and Scaleway.
 */
const METADATA_IPV4 = ['100.100.100.200', '168.63.129.16', '192.0.0.192']
const METADATA_IPV6 = ['fd00:ec2::254', 'fd00:ec2::23', 'fd20:ce::254', 'fd00:c1::a9fe:a9fe', 'fd00:42::42']
const METADATA = new Set([...METADATA_IPV4, ...METADATA_IPV6.map((address) => groupsOf(address)!.join())])

/** Names of metadata services. They matter where a proxy resolves names, so that no address can be checked. */
const METADATA_HOSTS = new Set([
  'metadata.google.internal',
  'metadata.goog',
  'instance-data',
  'instance-data.ec2.internal',
  'metadata.tencentyun.com',
])

/** What is peculiar about a URL's host: an address as for `peculiarityOf`, or the name of a metadata service. */
export function peculiarityOfHost(hostname: string): Peculiarity | null {
  const host = hostname.replace(/^\[|\]$/g, '')
  if (METADATA_HOSTS.has(host.toLowerCase().replace(/\.+$/, ''))) return 'the address of a cloud metadata service'
  return peculiarityOf(host)
}

/**
 * What is peculiar about an IP address, as text, with or without a zone: 169.254.0.0/16, fe80::/10 or a cloud's metadata
 * service, also in the forms of IPv6 that lead to an IPv4 address. Null for all others, and for text that is not an address.
 */
export function peculiarityOf(address: string): Peculiarity | null {
  if (/^\d+\.\d+\.\d+\.\d+$/.test(address)) return ipv4Peculiarity(address)
  const groups = groupsOf(address)
  if (groups === undefined) return null
  if ((groups[0]! & 0xffc0) === 0xfe80) return 'a link-local address'
  if (METADATA.has(groups.join())) return 'the address of a cloud metadata service'
  for (const inside of embeddedIpv4(groups)) {
    const peculiarity = ipv4Peculiarity(inside)
    if (peculiarity !== null) return peculiarity
  }
  return null
}

function ipv4Peculiarity(address: string): Peculiarity | null {
  if (address.startsWith('169.254.')) return 'a link-local address'
  return METADATA.has(address) ? 'the address of a cloud metadata service' : null
}

/** IPv4-mapped (::ffff:0:0/96), IPv4-compatible (::/96), IPv4-translated (::ffff:0:0:0/96) and NAT64 (64:ff9b::/96). */
const IPV4_LAST = new Set(['0,0,0,0,0,65535', '0,0,0,0,0,0', '0,0,0,0,65535,0', '100,65435,0,0,0,0'])

/** Every IPv4 address that an IPv6 address may lead to. */
function embeddedIpv4(groups: readonly number[]): string[] {
  const [g0, g1, g2, g3, g4, g5, g6, g7] = groups as [number, number, number, number, number, number, number, number]
  const found: string[] = []
  if (IPV4_LAST.has(groups.slice(0, 6).join())) found.push(dotted(g6, g7))
  // 6to4.
  if (g0 === 0x2002) found.push(dotted(g1, g2))
  // Teredo: the server's address, and the client's with all bits inverted.
  if (g0 === 0x2001 && g1 === 0) found.push(dotted(g2, g3), dotted(g6 ^ 0xffff, g7 ^ 0xffff))
  // ISATAP, under any prefix.
  if ((g4 === 0 || g4 === 0x0200) && g5 === 0x5efe) found.push(dotted(g6, g7))
  // Local NAT64 (RFC 8215): the prefix in use within 64:ff9b:1::/48 may have 48, 56, 64 or 96 bits, and RFC 6052 leaves
  // out the bits 64 to 71.
  if (g0 === 0x64 && g1 === 0xff9b && g2 === 1) {
    found.push(dotted(g3, (low(g4) << 8) | high(g5)))
    found.push(dotted((low(g3) << 8) | low(g4), g5))
    found.push(dotted((low(g4) << 8) | high(g5), (low(g5) << 8) | high(g6)))
    found.push(dotted(g6, g7))
  }
  return found
}

const high = (group: number) => group >> 8
const low = (group: number) => group & 0xff

function dotted(first: number, second: number): string {
  return [high(first), low(first), high(second), low(second)].join('.')
}

/** The eight groups of an IPv6 address. The URL parser knows all the ways to write one and makes one of them. */
function groupsOf(address: string): number[] | undefined {
  const url = `http://[${address.split('%', 1)[0]}]/`
  if (!address.includes(':') || !URL.canParse(url)) return undefined
  const [before, after] = new URL(url).hostname.slice(1, -1).split('::') as [string, string?]
  const [left, right] = [numbersOf(before), numbersOf(after ?? '')]
  return [...left, ...Array.from({ length: 8 - left.length - right.length }, () => 0), ...right]
}

function numbersOf(groups: string): number[] {
  return groups === '' ? [] : groups.split(':').map((group) => Number.parseInt(group, 16))
}
