import { isIP } from 'node:net'
import { hostname, networkInterfaces } from 'node:os'
import type { Draft } from '../draft.ts'
import type { Finding } from '../finding.ts'
import { isLoopback } from '../loopback.ts'
import { defaultSourcePath } from '../resolve.ts'
import { isUnixUrl } from '../unix-url.ts'

/** Where a request arrives. `host`: as `normalized` gives it. */
interface Place {
  readonly host: string
  readonly port: number
  readonly path: string
}

type Listen = NonNullable<Draft['server']['listen']>

/** What every address of this machine is taken for, by which only the machine itself can be reached. */
const LOOPBACK = 'localhost'

/**
 * Targets that lead back to a source of the relay: through its listener, or through the address at which Ultravox reaches it. What
 * reverse proxies do cannot be seen from here; such a loop ends when the relay sees its own id (`domain/via.ts`).
 * `ownHosts`: names and addresses of this machine.
 */
export function* checkLoops(draft: Draft, ownHosts: readonly string[] = hostsOfThisMachine()): Iterable<Finding> {
  const { server, sources, targets, ultravox } = draft
  const paths = new Map([...sources].map(([name, source]) => [source.path ?? defaultSourcePath(name), name]))
  const own = new Set(ownHosts.map(normalized))
  const webhooks = ultravox.flatMap(({ webhook }) => {
    const place = webhook?.url === undefined ? undefined : placeOf(webhook.url)
    return place === undefined ? [] : [{ ...place, source: webhook?.source }]
  })
  for (const [name, target] of targets) {
    if (target.type !== 'http' || target.socketPath !== undefined) continue
    const place = target.url === undefined ? undefined : placeOf(target.url.reveal())
    if (place === undefined) continue
    // From a proxy, the addresses of this machine lead elsewhere.
    const isLocal = target.proxy === undefined && server.listen !== undefined && leadsTo(server.listen, place, own)
    const webhook = webhooks.find(({ host, port }) => host === place.host && port === place.port)
    const source =
      (isLocal || webhook !== undefined ? paths.get(place.path) : undefined) ??
      (webhook?.path === place.path ? webhook.source : undefined)
    if (source === undefined) continue
    const message = `leads back to this relay (sources.${source}), which rejects what it has sent itself (loop_detected): write the address of the receiver`
    yield { path: ['targets', name, 'url'], message, level: 'warning' }
  }
}

/** Undefined where it is not a URL, and for a unix socket, on which the relay does not listen. */
function placeOf(url: string): Place | undefined {
  if (isUnixUrl(url) || !URL.canParse(url)) return undefined
  const { hostname: host, port, protocol, pathname: path } = new URL(url)
  return { host: normalized(host), port: port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port), path }
}

function leadsTo(listen: Listen, { host, port }: Place, own: ReadonlySet<string>): boolean {
  if (listen.port !== port) return false
  const listening = normalized(listen.host)
  if (isWildcard(listening)) return host === LOOPBACK || isWildcard(host) || own.has(host)
  // A connection to a wildcard address is one to the loopback address. A name of this machine may stand for any of its addresses.
  if (host === listening || (isWildcard(host) && listening === LOOPBACK)) return true
  return own.has(listening) && own.has(host) && isIP(host) === 0
}

const isWildcard = (host: string): boolean => host === '0.0.0.0' || host === '::'

/** Lower case, without brackets, a dot at the end, or an IPv4 address written as IPv6. Loopback addresses are `LOOPBACK`. */
function normalized(host: string): string {
  const bare = host
    .toLowerCase()
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '')
  const address = isIP(bare) === 6 ? new URL(`http://[${bare}]`).hostname.slice(1, -1) : bare
  return isLoopback(address) || address.endsWith(`.${LOOPBACK}`) ? LOOPBACK : mappedIPv4(address)
}

function mappedIPv4(address: string): string {
  const [, high, low] = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(address) ?? []
  if (high === undefined) return address
  const bytes = [high, low!].flatMap((part) => [Number.parseInt(part, 16) >> 8, Number.parseInt(part, 16) & 0xff])
  return bytes.join('.')
}

function hostsOfThisMachine(): string[] {
  const addresses = Object.values(networkInterfaces()).flatMap((each) => each ?? [])
  return [hostname(), ...addresses.map(({ address }) => address)]
}
