import type { LookupAddress } from 'node:dns'
import { isIP, type LookupFunction, type Socket } from 'node:net'
import { buildConnector } from 'undici'
import type { Secret } from '../domain/secret.ts'
import type { Deadlines } from './deadlines.ts'
import { permittedAddresses, rejectionOfHost } from './guard.ts'
import { AddressHistory, AddressRace, type Connected } from './happy-eyeballs.ts'
import { createTunnel, type Tunnel } from './proxy-tunnel.ts'
import { noAnswer, Resolver, systemResolver } from './resolver.ts'

/** Opens the connections of one pool and keeps track of all of them. */
export interface Connector {
  readonly connect: buildConnector.connector
  /** Whether a new connection to the host would find an address to go to. Never rejects. */
  finds(hostname: string): Promise<boolean>
  /** What requests wait for: the failure of a connection that is being made, if its time were over now. Null without one. */
  pendingError(): Error | null
  /** How long the last connection made since `startedAt` (`performance.now()`) waited for its name, in milliseconds. */
  nameWaitMs(startedAt: number): number
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
  /** How names are resolved, without keeping answers. Absent: by the system, with those kept for the whole process. */
  readonly lookup?: LookupFunction
  /** Resolves names in place of `lookup`, and may keep answers. */
  readonly resolver?: Resolver
}

/** How long to ask for a name again, in milliseconds, when the addresses of an earlier answer have failed. */
const ASK_AGAIN_MS = 2_000

/** Begins a connection. undici does return the socket, although its types do not say so; a test holds it to that. */
type Open = (to: buildConnector.Options, done: Connected) => Socket

/** A connection that is being made. */
interface Pending {
  /** The failure, if the time were over now; null where there is no more to say than that. */
  timeoutError(): Error | null
  cancel(): void
}

/**
 * Connections that are given up at the target's deadline. undici's own connect timeout can be a second late, and
 * meanwhile the half-made connection would block one of the pool's few places; and a destroyed pool forgets connections
 * that are still being made, which would then hold up the end of the process.
 */
export function createConnector(deadlines: Deadlines, options: ConnectionOptions = {}): Connector {
  const tunnel = options.proxy ? createTunnel(options.proxy, opener(options)) : null
  const reach = new Reach(deadlines.timeoutMs, tunnel === null ? opener(options) : tunnel.open, options)
  /** Connections that are being made, with what cancels their deadlines. */
  const all = new Map<Pending, () => void>()

  const connect: buildConnector.connector = (asked, callback) => {
    const to = named(asked, options.tls?.servername)
    const pending: Pending = { timeoutError: () => null, cancel() {} }
    const end: Connected = (...[error, socket]) => {
      const cancelDeadline = all.get(pending)
      if (cancelDeadline === undefined) return void socket?.destroy()
      all.delete(pending)
      cancelDeadline()
      if (error === null) {
        keepAlert(socket)
        callback(null, socket)
        return
      }
      // Not before this has returned, which undici does not expect.
      queueMicrotask(() => callback(error, null))
    }
    const expire = () => {
      const error = pending.timeoutError() ?? tunnel?.failure(connectTimeout()) ?? connectTimeout()
      pending.cancel()
      end(error, null)
    }
    all.set(pending, deadlines.start(expire))
    if (options.socketPath) reach.directly(to, pending, end)
    else if (tunnel === null) reach.host(to, pending, end)
    else throughProxy(tunnel, to, pending, end)
  }

  function throughProxy(tunnel: Tunnel, to: buildConnector.Options, pending: Pending, end: Connected): void {
    const toProxy: Pending = { timeoutError: () => null, cancel() {} }
    pending.cancel = () => toProxy.cancel()
    pending.timeoutError = () => {
      const error = toProxy.timeoutError()
      return error === null ? null : tunnel.failure(error)
    }
    const onAnswer = () => {
      toProxy.timeoutError = () => null
    }
    reach.host(tunnel.proxy, toProxy, (error, socket) => {
      if (error !== null) return end(tunnel.failure(error), null)
      // Destroying the socket to the proxy ends everything that is built upon it.
      toProxy.cancel = () => socket.destroy()
      toProxy.timeoutError = tunnel.silence
      tunnel.establish(socket, to, end, onAnswer)
    })
  }

  return {
    connect,
    finds: (hostname) => reach.finds(tunnel?.proxy.hostname ?? hostname.replace(/^\[|\]$/g, '')),
    pendingError() {
      for (const pending of all.keys()) {
        const error = pending.timeoutError()
        if (error !== null) return error
      }
      return null
    },
    nameWaitMs: (startedAt) => reach.nameWaitMs(startedAt),
    destroyAll() {
      for (const [pending, cancelDeadline] of all) {
        cancelDeadline()
        pending.cancel()
      }
      all.clear()
      reach.destroyAll()
    },
  }
}

/** Connects to hosts: resolves their names, leaves out what is not permitted, and tries the addresses. */
class Reach {
  readonly #timeoutMs: number
  readonly #open: Open
  readonly #options: ConnectionOptions
  readonly #resolver: Resolver
  readonly #history = new AddressHistory()
  readonly #sockets = new Set<Socket>()
  readonly #finding = new Set<() => void>()
  #lastNameWait = { endedAt: Number.NEGATIVE_INFINITY, ms: 0 }

  constructor(timeoutMs: number, open: Open, options: ConnectionOptions) {
    this.#timeoutMs = timeoutMs
    this.#open = open
    this.#options = options
    this.#resolver = options.resolver ?? (options.lookup ? new Resolver(options.lookup) : systemResolver)
  }

  /** Opens one connection, to what `to` or the unix socket says. */
  directly(to: buildConnector.Options, pending: Pending, done: Connected): void {
    const socket = this.#track(to, done)
    pending.cancel = () => socket.destroy()
  }

  host(to: buildConnector.Options, pending: Pending, done: Connected): void {
    const { hostname } = to
    const rejected = this.#isGuarded ? rejectionOfHost(hostname, this.#advice) : null
    if (rejected !== null) return void done(rejected, null)
    if (isIP(hostname) !== 0) return void this.#race(to, [{ address: hostname, family: 0 }], pending, done)
    const askedAt = performance.now()
    let isResolved = false
    const cancel = this.#resolver.resolve(hostname, { timeoutMs: this.#timeoutMs }, (error, addresses, isKept) => {
      isResolved = true
      const endedAt = performance.now()
      this.#lastNameWait = { endedAt, ms: endedAt - askedAt }
      if (error !== null) return done(error, null)
      this.#race(to, addresses, pending, (...result) => {
        if (result[0] === null || !isKept) done(...result)
        else this.#elsewhere(to, { addresses, error: result[0] }, pending, done)
      })
    })
    if (isResolved) return
    pending.cancel = cancel
    pending.timeoutError = () => noAnswer(hostname, this.#timeoutMs)
  }

  /** Tries the addresses that the name has by now, after those of an earlier answer have failed. */
  #elsewhere(
    to: buildConnector.Options,
    tried: { readonly addresses: readonly LookupAddress[]; readonly error: Error },
    pending: Pending,
    done: Connected,
  ): void {
    let isResolved = false
    const given = { timeoutMs: Math.min(this.#timeoutMs, ASK_AGAIN_MS), isCurrent: true }
    const cancel = this.#resolver.resolve(to.hostname, given, (_, found) => {
      isResolved = true
      const others = found.filter(({ address }) => !tried.addresses.some((each) => each.address === address))
      if (others.length === 0) return void done(tried.error, null)
      this.#race(to, others, pending, (...result) => {
        if (result[0] === null) done(...result)
        else done(new AggregateError([tried.error, result[0]].flatMap(failuresIn)), null)
      })
    })
    if (isResolved) return
    pending.cancel = cancel
    pending.timeoutError = () => tried.error
  }

  #race(to: buildConnector.Options, found: readonly LookupAddress[], pending: Pending, done: Connected): void {
    const { hostname } = to
    let permitted: readonly LookupAddress[]
    try {
      permitted = this.#permitted(hostname, found)
    } catch (error) {
      return void done(error as Error, null)
    }
    const race = new AddressRace({
      addresses: this.#history.order(permitted),
      port: portOf(to),
      timeoutMs: this.#timeoutMs,
      history: this.#history,
      open: (address, done) => this.#track({ ...to, hostname: address }, done),
    })
    const distrust = () => this.#resolver.distrust(hostname)
    pending.timeoutError = () => race.timeoutError()
    pending.cancel = () => {
      distrust()
      race.destroy()
    }
    race.start((error, socket) => {
      if (error === null) return done(null, socket)
      distrust()
      done(error, null)
    })
  }

  #isAnyPermitted(hostname: string, found: readonly LookupAddress[]): boolean {
    try {
      return this.#permitted(hostname, found).length > 0
    } catch {
      return false
    }
  }

  /** Throws `ToldError` where none is. */
  #permitted(hostname: string, found: readonly LookupAddress[]): readonly LookupAddress[] {
    return this.#isGuarded ? permittedAddresses(hostname, found, this.#advice) : found
  }

  #track(to: buildConnector.Options, done: Connected): Socket {
    const socket = this.#open(to, done)
    this.#sockets.add(socket)
    return socket.once('close', () => this.#sockets.delete(socket))
  }

  finds(hostname: string): Promise<boolean> {
    if (this.#options.socketPath || isIP(hostname) !== 0) return Promise.resolve(true)
    return new Promise((resolve) => {
      const end = (isFound: boolean) => {
        this.#finding.delete(cancel)
        resolve(isFound)
      }
      const cancel = () => {
        cancelLookup()
        end(false)
      }
      this.#finding.add(cancel)
      const given = { timeoutMs: this.#timeoutMs, isCurrent: true }
      const cancelLookup = this.#resolver.resolve(hostname, given, (error, found) => {
        end(error === null && this.#isAnyPermitted(hostname, found))
      })
    })
  }

  nameWaitMs(startedAt: number): number {
    return this.#lastNameWait.endedAt >= startedAt ? this.#lastNameWait.ms : 0
  }

  destroyAll(): void {
    for (const cancel of this.#finding) cancel()
    for (const socket of this.#sockets) socket.destroy()
  }

  get #isGuarded(): boolean {
    return this.#options.allowLinkLocal !== true
  }

  /** A proxy at such an address is never what a target's setting means. */
  get #advice(): string | undefined {
    const { allowLinkLocal, proxy } = this.#options
    return allowLinkLocal === 'never' || proxy ? '' : undefined
  }
}

function opener({ tls, socketPath }: ConnectionOptions): Open {
  return buildConnector({
    timeout: 0,
    ...(socketPath && { socketPath }),
    ...(tls && tlsOptions(tls)),
  } as buildConnector.BuildOptions) as unknown as Open
}

/** The same with the server name to ask for in TLS, where that is not the host's name as it is written. */
function named(to: buildConnector.Options, servername: string | null | undefined): buildConnector.Options {
  // undici asks for the name in the Host header, whatever the connector was built with.
  const name = servername ?? withoutTrailingDot(to.servername ?? to.hostname)
  return name === undefined ? to : { ...to, servername: name }
}

function portOf({ port, protocol }: buildConnector.Options): number {
  return Number(port) || (protocol === 'https:' ? 443 : 80)
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

function failuresIn(error: Error): Error[] {
  return error instanceof AggregateError ? error.errors : [error]
}

function connectTimeout(): Error {
  return Object.assign(new Error('connect timeout'), { code: 'ETIMEDOUT', syscall: 'connect' })
}
