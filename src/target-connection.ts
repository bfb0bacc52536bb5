import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { HttpTargetConfig, SlackTargetConfig } from './config/config.ts'
import { type CertificateFacts, factsOf } from './domain/certificate.ts'
import { describeNetworkError } from './domain/network-error.ts'
import { type ConnectionOptions, createConnector } from './outgoing/connector.ts'
import { createDeadlines } from './outgoing/deadlines.ts'
import { parseTargetUrl } from './targets/target-url.ts'

/** When a server's certificate is valid, in epoch milliseconds. */
export type Validity = Pick<CertificateFacts, 'notBefore' | 'notAfter'>

/** What a connection to a target came to. The problem is as short as an attempt's error, and holds no secret. */
export type Connection =
  | { readonly peer: string; readonly certificate: Validity | null }
  | { readonly peer: string; readonly problem: string }

/** Connects to a target the way its deliveries do, TLS handshake and proxy included, and sends it nothing. */
export async function connectTo(
  name: string,
  target: HttpTargetConfig | SlackTargetConfig,
  timeoutMs: number,
): Promise<Connection> {
  const url = parseTargetUrl(name, target.type === 'http' ? target.url : target.webhookUrl)
  const way: ConnectionOptions = target.type === 'http' ? target : { ...target, allowLinkLocal: 'never' }
  const peer = way.socketPath ?? url.host
  const connector = createConnector(createDeadlines(timeoutMs), way)
  const { hostname, host, protocol, port } = url
  const options = { hostname: hostname.replace(/^\[|\]$/g, ''), host, protocol, port }
  try {
    const socket = await new Promise<Socket>((resolve, reject) => {
      connector.connect(options, (error, socket) => (error === null ? resolve(socket) : reject(error)))
    })
    const certificate = certificateOf(socket)
    await accepted(socket)
    return { peer, certificate }
  } catch (error) {
    return { peer, problem: describeNetworkError(error, url.host) }
  } finally {
    connector.destroyAll()
  }
}

/** How long to wait for a server that sends no session ticket after the handshake. */
const SETTLING_MS = 500

/**
 * Waits until a TLS 1.3 server has accepted the client certificate, which it checks after the client's handshake is over: a
 * session ticket follows, or an alert. Rejects with the alert.
 */
async function accepted(socket: Socket): Promise<void> {
  if (!('getProtocol' in socket) || (socket as TLSSocket).getProtocol() !== 'TLSv1.3') return
  let timer: NodeJS.Timeout | undefined
  try {
    await new Promise<void>((resolve, reject) => {
      timer = setTimeout(resolve, SETTLING_MS)
      socket.once('session', () => resolve())
      socket.once('error', reject)
      socket.once('end', () => reject(Object.assign(new Error('other side closed'), { code: 'UND_ERR_SOCKET' })))
      socket.resume()
    })
  } finally {
    clearTimeout(timer)
  }
}

/** Null without TLS. */
function certificateOf(socket: Socket): Validity | null {
  const certificate = 'getPeerX509Certificate' in socket ? (socket as TLSSocket).getPeerX509Certificate() : undefined
  if (certificate === undefined) return null
  const { notBefore, notAfter } = factsOf(certificate)
  return { notBefore, notAfter }
}
