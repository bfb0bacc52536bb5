import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { HttpTargetConfig, SlackTargetConfig } from './config/config.ts'
import { describeNetworkError } from './domain/network-error.ts'
import { type ConnectionOptions, createConnector } from './outgoing/connector.ts'
import { createDeadlines } from './outgoing/deadlines.ts'
import { parseTargetUrl } from './targets/target-url.ts'

/** What a connection to a target came to. The problem is as short as an attempt's error, and holds no secret. */
export type Connection =
  | { readonly peer: string; readonly certificateEndsAt: number | null }
  | { readonly peer: string; readonly problem: string }

/** Connects to a target the way its deliveries do, TLS handshake and proxy included, and sends it nothing. */
export async function connectTo(
  name: string,
  target: HttpTargetConfig | SlackTargetConfig,
  timeoutMs: number,
): Promise<Connection> {
  const url = parseTargetUrl(name, target.type === 'http' ? target.url : target.webhookUrl)
  const way: ConnectionOptions = target.type === 'http' ? target : { allowLinkLocal: 'never' }
  const peer = way.socketPath ?? url.host
  const connector = createConnector(createDeadlines(timeoutMs), way)
  const { hostname, host, protocol, port } = url
  const options = { hostname: hostname.replace(/^\[|\]$/g, ''), host, protocol, port }
  try {
    const socket = await new Promise<Socket>((resolve, reject) => {
      connector.connect(options, (error, socket) => (error === null ? resolve(socket) : reject(error)))
    })
    return { peer, certificateEndsAt: certificateEnd(socket) }
  } catch (error) {
    return { peer, problem: describeNetworkError(error, url.host) }
  } finally {
    connector.destroyAll()
  }
}

/** Null without TLS. */
function certificateEnd(socket: Socket): number | null {
  if (!('getPeerCertificate' in socket)) return null
  const end = Date.parse((socket as TLSSocket).getPeerCertificate().valid_to)
  return Number.isNaN(end) ? null : end
}
