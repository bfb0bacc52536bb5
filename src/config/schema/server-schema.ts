import { isIP } from 'node:net'
import * as z from 'zod'
import { duration, integer, orReference, secret, size, text } from './scalars.ts'
import { PEM } from './tls-schema.ts'

const LISTEN_FORM = 'must be host:port with a port from 0 to 65535, such as 127.0.0.1:8080 or [::1]:8080'
export const LARGE_PORT =
  'has a port beyond the last one: write host:port with a port from 0 to 65535, such as 127.0.0.1:8080'
export const HOST_NAME =
  /^(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$/

const listen = z
  .string({ error: ({ input }) => (typeof input === 'number' ? LISTEN_FORM : undefined) })
  .meta({ pattern: orReference('^(\\[[0-9A-Fa-f:.]+\\]|[^:\\s]+):\\d{1,5}$') })
  .transform((written, context) => {
    const address = parseListen(written)
    if (address !== undefined) return address
    context.addIssue(listenProblem(written))
    return z.NEVER
  })

function listenProblem(written: string): string {
  if (hasLargePort(written)) return LARGE_PORT
  return isIP(written.replace(/:\d+$/, '')) === 6 ? `${LISTEN_FORM}: IPv6 goes into [ ]` : LISTEN_FORM
}

/** Whether an address ends in a port that no port can be. */
export function hasLargePort(written: string): boolean {
  const [, port] = /:(\d+)$/.exec(written) ?? []
  return port !== undefined && !isIP(written) && Number(port) > 65_535
}

export function parseListen(written: string): { host: string; port: number } | undefined {
  const [, ipv6, other, digits] = /^(?:\[(.*)\]|([^:[\]]*)):(\d{1,5})$/.exec(written) ?? []
  const port = Number(digits)
  if (digits === undefined || port > 65_535) return undefined
  if (ipv6 !== undefined) return isIP(ipv6) === 6 ? { host: ipv6, port } : undefined
  // A host name of digits and dots only would be a mistyped address.
  const valid = /^[\d.]+$/.test(other!) ? isIP(other!) === 4 : HOST_NAME.test(other!)
  return valid ? { host: other!, port } : undefined
}

function proxyProblem(entry: string): string | undefined {
  const [address, prefix, ...rest] = entry.split('/')
  const bits = { 0: 0, 4: 32, 6: 128 }[isIP(address!)]!
  const valid = bits > 0 && rest.length === 0 && (prefix === undefined || /^\d{1,3}$/.test(prefix))
  if (!valid || Number(prefix ?? 0) > bits) return 'must be an IP address or a CIDR, such as 10.0.0.2 or 10.0.0.0/8'
  if (prefix === undefined || Number(prefix) > 0) return undefined
  return 'would let every client set its own address: write the addresses of your proxies only'
}

export const serverSchema = z.strictObject({
  listen: listen.prefault('127.0.0.1:8080').meta({
    description: 'Address and port to take webhooks on, as host:port or [ipv6]:port. Port 0 takes any free one.',
  }),
  trustProxy: z
    .array(text({ problemWith: proxyProblem }))
    .prefault([])
    .meta({
      description: 'Addresses or CIDRs of reverse proxies whose X-Forwarded-For is believed. All others cannot set it.',
    }),
  bodyLimit: size('1b', '100mb').prefault('5mb').meta({
    description: 'Largest request body taken; a larger one is answered 413. Units b, kb, mb, gb; 1kb is 1024 bytes.',
  }),
  maxHeaderSize: size('4kb', '256kb').prefault('32kb').meta({
    description:
      'Largest request line and headers taken, here and by the admin listener; larger ones are answered 431. Proxies that add certificates of clients need more. A change holds for new connections.',
  }),
  rateLimit: z
    .strictObject({
      maxRefused: integer(1, 1_000_000).prefault(120).meta({
        description: 'Refused requests (bad signature, bad payload, ...) allowed per client address and period.',
      }),
      per: duration('1s', '1d').prefault('1m').meta({ description: 'The period in which they are counted.' }),
    })
    .prefault({})
    .meta({
      description: 'When an address that sends refused requests is answered 429. Genuine traffic is not limited.',
    }),
  tls: z
    .strictObject({
      cert: secret({ example: 'cert: /etc/ultravox-relay/tls/fullchain.pem' }).meta({
        description: `The certificate, with the ones between it and its authority. ${PEM}`,
      }),
      key: secret({ example: 'key: /etc/ultravox-relay/tls/privkey.pem' }).meta({
        description: `Its private key, without a passphrase. ${PEM}`,
      }),
      minVersion: z
        .enum(['TLSv1.2', 'TLSv1.3'])
        .prefault('TLSv1.2')
        .meta({ description: 'The oldest version of TLS that is spoken.' }),
    })
    .optional()
    .meta({
      description:
        'Take webhooks over HTTPS. Files are read again when they change. Absent: HTTP, for a proxy in front.',
    }),
  keepAliveTimeout: duration('1s', '1d').prefault('16m').meta({
    description:
      'How long an idle connection stays open. Longer than any proxy in front keeps it, or the proxy may send an event on a connection that is being closed. Most keep it for 1 to 2 minutes, Google Cloud for 10 and Cloudflare for 15.',
  }),
  shutdownTimeout: duration('0s', '1h').prefault('20s').meta({
    description: 'How long running attempts may go on after SIGTERM before they are given back to the outbox.',
  }),
})

export const deliverySchema = z.strictObject({
  alertAfter: duration('1s', '365d').prefault('15m').meta({
    description:
      "Raise relay.backlog.old when a target's oldest due delivery has waited for longer than this, and relay.target.calls_held when one has that a dead delivery holds.",
  }),
})
