import { request } from 'node:http'
import type { Socket } from 'node:net'
import { buildConnector } from 'undici'
import { describeNetworkError, isResolverFailure, ToldError } from '../domain/network-error.ts'
import type { Secret } from '../domain/secret.ts'
import type { Connected } from './happy-eyeballs.ts'
import { filterHeads } from './head-filter.ts'
import { proxyRejection } from './proxy-rejection.ts'

/** The way through a proxy. */
export interface Tunnel {
  /** The proxy itself, as what to connect to. */
  readonly proxy: buildConnector.Options
  /** Begins a connection to the proxy, and returns its socket. */
  readonly open: (to: buildConnector.Options, done: Connected) => Socket
  /** Makes a connection to a target out of one to the proxy. `onAnswer`: the proxy has answered. */
  readonly establish: (socket: Socket, to: buildConnector.Options, done: Connected, onAnswer: () => void) => void
  /** The error of the connection to the proxy while that does not answer. */
  readonly silence: () => ToldError
  /** The error of the target's connection for one on the way to the proxy. */
  readonly failure: (error: Error) => ToldError
}

/**
 * Connections through a proxy's CONNECT, also to http URLs: so whatever is answered comes from the target, and the
 * proxy sees neither the request's headers nor, with https, anything else. The name is resolved by the proxy.
 * `secure` makes a connection to an https URL out of the tunnel's.
 */
export function createTunnel(proxy: Secret, secure: buildConnector.connector): Tunnel {
  const url = proxyUrl(proxy)
  const credentials = credentialsOf(url)
  const failure = (error: Error) =>
    new ToldError(`proxy: ${describeNetworkError(error, url.host)}`, { isResolverFailure: isResolverFailure(error) })

  return {
    proxy: { hostname: hostOfProxy(proxy), host: url.host, protocol: 'http:', port: url.port },
    open: buildConnector({ timeout: 0 } as buildConnector.BuildOptions) as unknown as Tunnel['open'],
    failure,
    silence: () => new ToldError(`${url.host} does not answer CONNECT`),
    establish(socket, options, callback, onAnswer) {
      filterHeads(socket).expect()
      const authority = authorityOf(options)
      const connect = request({
        method: 'CONNECT',
        path: authority,
        headers: { host: authority, ...credentials },
        createConnection: () => socket,
      })
      connect.once('error', (error) => callback(failure(error), null))
      connect.once('connect', async (answer, _, head) => {
        onAnswer()
        const { statusCode = 0 } = answer
        if (statusCode < 200 || statusCode > 299) {
          const asked = { host: url.host, authority, ...decoded(url) }
          return callback(new ToldError(await proxyRejection(answer, socket, head, asked)), null)
        }
        if (head.length > 0) {
          socket.destroy()
          const told = `proxy: http ${statusCode} ${url.host}: it sent data before it was asked for any`
          return callback(new ToldError(told), null)
        }
        if (options.protocol === 'https:')
          secure({ ...options, httpSocket: socket }, callback as buildConnector.Callback)
        else callback(null, socket)
      })
      connect.end()
    },
  }
}

/** A proxy's host name or address, IPv6 without brackets. */
function hostOfProxy(proxy: Secret): string {
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

function credentialsOf(url: URL): Record<string, string> {
  const { user, password } = decoded(url)
  if (user === '' && password === '') return {}
  return { 'proxy-authorization': `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` }
}

function decoded({ username, password }: URL) {
  return { user: decodeURIComponent(username), password: decodeURIComponent(password) }
}
