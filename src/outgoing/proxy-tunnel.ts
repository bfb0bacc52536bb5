import { request } from 'node:http'
import type { LookupFunction, Socket } from 'node:net'
import { buildConnector } from 'undici'
import { describeNetworkError, ToldError } from '../domain/network-error.ts'
import type { Secret } from '../domain/secret.ts'
import { rejectionOfHost } from './guard.ts'

/** How the proxy itself is connected to. */
export interface ProxyHop {
  readonly lookup: LookupFunction
  /** Whether a proxy at a link-local or metadata address is rejected; `lookup` does the same for its name. */
  readonly isGuarded: boolean
}

/**
 * Connections through a proxy's CONNECT, also to http URLs: so whatever is answered comes from the target, and the
 * proxy sees neither the request's headers nor, with https, anything else. The name is resolved by the proxy.
 * `secure` makes a connection to an https URL out of the tunnel's.
 */
export function throughProxy(
  proxy: Secret,
  secure: buildConnector.connector,
  { lookup, isGuarded }: ProxyHop,
): buildConnector.connector {
  const url = proxyUrl(proxy)
  const hop = { hostname: hostOfProxy(proxy), host: url.host, protocol: 'http:', port: url.port }
  const credentials = credentialsOf(url)
  const toProxy = buildConnector({ timeout: 0, lookup } as buildConnector.BuildOptions)
  const failure = (error: Error) => new ToldError(`proxy: ${describeNetworkError(error, url.host)}`)

  return (options, callback) => {
    const rejected = isGuarded ? rejectionOfHost(hop.hostname, '') : null
    if (rejected !== null) return queueMicrotask(() => callback(failure(rejected), null))
    // Destroying the socket to the proxy ends everything that is built upon it, so that one is returned.
    return toProxy(hop, (error, socket) => {
      if (error !== null) return callback(failure(error), null)
      const authority = authorityOf(options)
      const connect = request({
        method: 'CONNECT',
        path: authority,
        headers: { host: authority, ...credentials },
        createConnection: () => socket,
      })
      connect.once('error', (error) => callback(failure(error), null))
      connect.once('connect', ({ statusCode }, _, head) => {
        if (statusCode === undefined || statusCode < 200 || statusCode > 299 || head.length > 0) {
          socket.destroy()
          return callback(new ToldError(`proxy: http ${statusCode} ${url.host}`), null)
        }
        if (options.protocol === 'https:') secure({ ...options, httpSocket: socket }, callback)
        else callback(null, socket)
      })
      connect.end()
    }) as unknown as Socket
  }
}

/** A proxy's host name or address, IPv6 without brackets. */
export function hostOfProxy(proxy: Secret): string {
  return proxyUrl(proxy).hostname.replace(/^\[|\]$/g, '')
}

function proxyUrl(proxy: Secret): URL {
  const text = proxy.reveal()
  // The URL parser's own error would show it, credentials and all.
  if (!URL.canParse(text)) throw new Error('the URL of the proxy is invalid')
  return new URL(text)
}

function authorityOf({ hostname, port, protocol }: buildConnector.Options): string {
  const host = hostname.includes(':') ? `[${hostname}]` : hostname
  return `${host}:${port || (protocol === 'https:' ? 443 : 80)}`
}

function credentialsOf({ username, password }: URL): Record<string, string> {
  if (username === '' && password === '') return {}
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
  return { 'proxy-authorization': `Basic ${Buffer.from(pair).toString('base64')}` }
}
