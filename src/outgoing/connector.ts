import { isIP, type LookupFunction, type Socket } from 'node:net'
import { buildConnector } from 'undici'
import type { Secret } from '../domain/secret.ts'
import type { Deadlines } from './deadlines.ts'
import { guarded, rejectionOfHost } from './guard.ts'
import { hostOfProxy, throughProxy } from './proxy-tunnel.ts'
import { shared } from './shared-lookup.ts'

/** Opens the connections of one pool and keeps track of all of them. */
export interface Connector {
  readonly connect: buildConnector.connector
  /** Whether a new connection to the host would find an address to go to. Never rejects. */
  finds(hostname: string): Promise<boolean>
  /** Ends every connection, also those still being made. */
  destroyAll(): void
}

/** How a TLS server is verified, and what is shown to it. Certificates and keys are PEM. */
export interface TlsOptions {
  /** Instead of the well-known authorities. */
  readonly ca: Secret | null
  readonly cert: Secret | null
  readonly key: Secret | null
  /** The name to ask for and to expect in the certificate, where it is not the URL's host. */
  readonly servername: string | null
  /** Takes any certificate. */
  readonly insecure: boolean
}

/** How connections are made. Absent, null or false: straight to the URL's host, verified as usual. */
export interface ConnectionOptions {
  readonly tls?: TlsOptions | null
  /** The unix socket to connect to, absolute; the URL's host is then only the name in the request. */
  readonly socketPath?: string | null
  readonly proxy?: Secret | null
  /** Connects to link-local addresses and cloud metadata services too. `never`: no, and no setting can change it. */
  readonly allowLinkLocal?: boolean | 'never'
  /** How names are resolved; Node's own where absent. */
  readonly lookup?: LookupFunction
}

/**
 * Connections that are given up at the target's deadline. undici's own connect timeout can be a second late, and
 * meanwhile the half-made connection would block one of the pool's few places; and a destroyed pool forgets connections
 * that are still being made, which would then hold up the end of the process.
 */
export function createConnector(deadlines: Deadlines, options: ConnectionOptions = {}): Connector {
  const sockets = new Set<Socket>()
  const lookup = lookupOf(options)
  const open = opener(options, lookup)
  const isDirect = !options.proxy && !options.socketPath

  const connect: buildConnector.connector = (to, callback) => {
    const rejected = isDirect && isGuarded(options) ? rejectionOfHost(to.hostname, adviceOf(options)) : null
    if (rejected !== null) return queueMicrotask(() => callback(rejected, null))
    let cancelDeadline = () => {}
    // undici does return the socket, although its types do not say so; a test holds it to that. None is opened to a proxy
    // that is rejected.
    const socket = open(to, (...result) => {
      cancelDeadline()
      if (result[1]) keepAlert(result[1])
      callback(...result)
    }) as unknown as Socket | undefined
    if (socket === undefined) return
    cancelDeadline = deadlines.start(() => socket.destroy(connectTimeout()))
    sockets.add(socket)
    socket.once('close', () => {
      cancelDeadline()
      sockets.delete(socket)
    })
  }

  return {
    connect,
    finds(hostname) {
      const host = options.proxy ? hostOfProxy(options.proxy) : hostname.replace(/^\[|\]$/g, '')
      if (options.socketPath || isIP(host) !== 0) return Promise.resolve(true)
      return new Promise((resolve) => lookup(host, { all: true }, (error) => resolve(error === null)))
    },
    destroyAll() {
      for (const socket of sockets) socket.destroy()
    },
  }
}

function isGuarded({ allowLinkLocal }: ConnectionOptions): boolean {
  return allowLinkLocal !== true
}

function adviceOf({ allowLinkLocal }: ConnectionOptions): string | undefined {
  return allowLinkLocal === 'never' ? '' : undefined
}

/** A proxy resolves the names of targets itself, so then it is the proxy's own name that is looked up and guarded. */
function lookupOf(options: ConnectionOptions): LookupFunction {
  const lookup = shared(options.lookup)
  return isGuarded(options) ? guarded(lookup, options.proxy ? '' : adviceOf(options)) : lookup
}

function opener(options: ConnectionOptions, lookup: LookupFunction): buildConnector.connector {
  const { tls, socketPath, proxy } = options
  const open = buildConnector({
    timeout: 0,
    ...(socketPath && { socketPath }),
    lookup,
    ...(tls && tlsOptions(tls)),
  } as buildConnector.BuildOptions)
  const servername = tls?.servername
  // undici asks for the name in the Host header, whatever the connector was built with.
  const named: buildConnector.connector = (to, done) => {
    const name = servername ?? withoutTrailingDot(to.servername ?? to.hostname)
    return open(name === undefined ? to : { ...to, servername: name }, done)
  }
  return proxy ? throughProxy(proxy, named, { lookup, isGuarded: isGuarded(options) }) : named
}

/** Removes the trailing dot of a host name, which DNS knows and SNI does not allow; undefined where the name has no dot at its end. */
function withoutTrailingDot(hostname: string): string | undefined {
  return hostname.endsWith('.') ? hostname.slice(0, -1) : undefined
}

/**
 * Makes a TLS alert the cause of the error that follows. With TLS 1.3 the server rejects a client certificate after the
 * handshake: the socket emits the alert and then ends, and undici reports only the end, as "other side closed".
 */
function keepAlert(socket: Socket): void {
  let alert: Error | undefined
  socket.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code?.includes('ALERT')) alert = error
    else if (alert !== undefined) error.cause ??= alert
  })
}

function tlsOptions({ ca, cert, key, insecure }: TlsOptions) {
  return {
    ...(ca !== null && { ca: ca.reveal() }),
    ...(cert !== null && { cert: cert.reveal() }),
    ...(key !== null && { key: key.reveal() }),
    ...(insecure && { rejectUnauthorized: false }),
  }
}

function connectTimeout(): Error {
  return Object.assign(new Error('connect timeout'), { code: 'ETIMEDOUT', syscall: 'connect' })
}
