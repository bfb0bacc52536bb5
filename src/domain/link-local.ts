/** Why an address is not connected to unless somebody says so. */
export type Peculiarity = 'a link-local address' | 'the address of a cloud metadata service'

/**
 * Where clouds hand out the credentials of the machine to whoever can make a request from it, outside of the link-local
 * ranges: Alibaba, AWS (instance metadata, EKS pod identity) and Google.
 */
const METADATA_IPV4 = ['100.100.100.200']
const METADATA_IPV6 = ['fd00:ec2::254', 'fd00:ec2::23', 'fd20:ce::254']
const METADATA = new Set([...METADATA_IPV4, ...METADATA_IPV6.map((address) => groupsOf(address)!.join())])

/**
 * What is peculiar about an IP address, as text, with or without a zone: 169.254.0.0/16, fe80::/10 or a cloud's metadata
 * service, also in the forms of IPv6 that lead to an IPv4 address. Null where nothing is, and for what is no address.
 */
export function peculiarityOf(address: string): Peculiarity | null {
  const ipv4 = /^\d+\.\d+\.\d+\.\d+$/.test(address) ? address : undefined
  if (ipv4 !== undefined) return ipv4Peculiarity(ipv4)
  const groups = groupsOf(address)
  if (groups === undefined) return null
  if ((groups[0]! & 0xffc0) === 0xfe80) return 'a link-local address'
  if (METADATA.has(groups.join())) return 'the address of a cloud metadata service'
  const inside = embeddedIpv4(groups)
  return inside === undefined ? null : ipv4Peculiarity(inside)
}

function ipv4Peculiarity(address: string): Peculiarity | null {
  if (address.startsWith('169.254.')) return 'a link-local address'
  return METADATA.has(address) ? 'the address of a cloud metadata service' : null
}

/** IPv4-mapped (::ffff:0:0/96), IPv4-compatible (::/96), NAT64 (64:ff9b::/96) and 6to4 (2002::/16). */
function embeddedIpv4(groups: readonly number[]): string | undefined {
  const head = groups.slice(0, 6).join()
  if (['0,0,0,0,0,65535', '0,0,0,0,0,0', '100,65435,0,0,0,0'].includes(head)) return dotted(groups[6]!, groups[7]!)
  return groups[0] === 0x2002 ? dotted(groups[1]!, groups[2]!) : undefined
}

function dotted(high: number, low: number): string {
  return [high >> 8, high & 0xff, low >> 8, low & 0xff].join('.')
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
