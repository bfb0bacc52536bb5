import { X509Certificate } from 'node:crypto'
import { lookup } from 'node:dns/promises'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { createSecureContext, type TLSSocket } from 'node:tls'
import type { FastifyInstance } from 'fastify'
import { type CertificateFacts, factsOf } from '../domain/certificate.ts'
import { errorMessage, RelayError } from '../domain/errors.ts'
import { handshakeFailure } from '../domain/handshake-failure.ts'
import { hostPort } from '../domain/host-port.ts'
import { listenProblem } from '../domain/listen-error.ts'
import type { Secret } from '../domain/secret.ts'
import { type AppLog, type AppOptions, createApp } from './app.ts'
import { closeGently } from './closing.ts'
import { mostConnections } from './connection-limit.ts'
import { Connections } from './connections.ts'
import { queueHandshakes } from './handshakes.ts'
import { createProxyMatcher, peerAt } from './peer.ts'
import { RejectionWindows } from './rejection-limiter.ts'
import { TrustedPeers } from './trusted-peers.ts'
import { MOST_HEADERS } from './unreadable.ts'
import { UploadBudget } from './upload-budget.ts'

/** What an HTTPS listener shows: PEM texts. */
export interface Certificate {
  readonly cert: Secret
  readonly key: Secret
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3'
}

const TIMEOUTS = {
  requestTimeout: 20_000,
  // requestTimeout alone was seen to leave a slow body alone for up to 90 s.
  headersTimeout: 10_000,
  // None of the others ends a connection whose client does not read its answers.
  timeout: 60_000,
  connectionsCheckingInterval: 1_000,
}
const HTTP_OPTIONS = {
  ...TIMEOUTS,
  // Node would answer itself, and also where it has dropped the header because there are too many. The app answers.
  requireHostHeader: false,
}
/** For a handshake, which Node would wait two minutes for. */
const HANDSHAKE_TIMEOUT_MS = 10_000

export interface ListenerOptions extends Omit<AppOptions, 'isProxy'> {
  /** Reverse proxies whose X-Forwarded-For is believed: IP addresses and CIDRs. */
  readonly trustProxy: readonly string[]
  /** How long an idle connection stays open after an answer. */
  readonly keepAliveTimeoutMs: number
  /** Bytes of the request line and the headers of a request. Holds for connections to come. */
  readonly maxHeaderSizeBytes: number
}

interface Address {
  readonly host: string
  readonly port: number
}

/**
 * The public listener: one socket for the whole life of the relay, in front of the app of the configuration that holds.
 * What still comes in on an open connection while closing is taken like any other: the outbox is there until the end.
 */
export class Listener {
  readonly server: Server
  readonly #memory
  readonly #close: () => Promise<void>
  readonly #secure: TlsServer | undefined
  #app: FastifyInstance | undefined
  #log: AppLog | undefined
  #served: CertificateFacts | null = null
  #isProxy: (address: string) => boolean = () => false

  /** `certificate`: null for plain HTTP. Throws `config_invalid` where it cannot be used. */
  constructor(certificate: Certificate | null) {
    const crowded = new WeakSet<IncomingMessage>()
    const answer: RequestListener = (request, response) => {
      const turn = connections.turnOf(request, response)
      if (turn === 'drop') return
      if (turn === 'refuse') crowded.add(request)
      this.#app!.routing(request, response)
    }
    if (certificate !== null) {
      prove(certificate)
      const options = { ...HTTP_OPTIONS, ...shown(certificate), handshakeTimeout: HANDSHAKE_TIMEOUT_MS }
      this.#secure = createTlsServer(options, answer)
      this.#served = leafOf(certificate)
    }
    this.server = this.#secure ?? createServer(HTTP_OPTIONS, answer)
    // One more than are taken. What is beyond, perhaps the signature, Node 20 drops without a word; newer ones answer 431.
    this.server.maxHeadersCount = MOST_HEADERS + 1
    // What Node itself cannot read is answered by Fastify, on the server that it believes to have.
    this.server.on('clientError', (error, socket) => this.#app!.server.emit('clientError', error, socket as Socket))
    // Whatever a sender expects beside 100 Continue: whether its event is genuine does not hang on that.
    this.server.on('checkExpectation', answer)
    const trusted = new TrustedPeers()
    const connections = new Connections(this.server, {
      most: mostConnections(),
      isProxy: (address) => this.#isProxy(address),
      isTrusted: (address) => trusted.knows(address),
    })
    this.#secure?.on('tlsClientError', (error, socket) => {
      // Once its client is gone, the address is only known of the connection below.
      const { _parent: below } = socket as TLSSocket & { readonly _parent?: Socket }
      const peer = (below && connections.peerOf(below)) ?? peerAt(socket.remoteAddress ?? '')
      this.#log?.handshakeFailed(handshakeFailure(error, peer?.address ?? null))
    })
    if (this.#secure !== undefined) queueHandshakes(this.#secure, connections, HANDSHAKE_TIMEOUT_MS)
    this.#memory = { trusted, connections, crowded, uploads: new UploadBudget(), rejections: new RejectionWindows() }
    this.#close = closeGently(this.server, connections)
  }

  /** For connections to come; those that are open keep what they were shown. Throws where it cannot be used. */
  show(certificate: Certificate): void {
    if (this.#secure === undefined) return
    this.#secure.setSecureContext(shown(certificate))
    this.#served = leafOf(certificate)
  }

  /** The certificate that new connections are shown; null without TLS. */
  get served(): CertificateFacts | null {
    return this.#served
  }

  /**
   * Makes ready to answer by other options. From the call of what this returns, new requests are; those under way end
   * under the old ones.
   */
  async prepare(certificate: Certificate | null, options: ListenerOptions): Promise<() => void> {
    if (certificate !== null) prove(certificate)
    const isProxy = createProxyMatcher(options.trustProxy)
    const app = await createApp({ ...options, isProxy }, this.#memory)
    return () => {
      if (certificate !== null) this.show(certificate)
      this.#isProxy = isProxy
      this.#memory.uploads.fit(options.bodyLimitBytes)
      this.server.keepAliveTimeout = options.keepAliveTimeoutMs
      // Not documented, but it is what Node keeps of the option of `createServer` and reads with each connection.
      Object.assign(this.server, { maxHeaderSize: options.maxHeaderSizeBytes })
      this.#app = app
      this.#log = options.log
    }
  }

  /**
   * To be called once there are options to answer by. Gives the address, such as `127.0.0.1:8080`; throws `listen_failed`.
   * With `inheritedFd` it listens on that socket, which is somebody else's and outlives the relay; where that has another
   * address it throws `config_invalid`.
   */
  async listen({ host, port }: Address, inheritedFd?: number): Promise<string> {
    const wanted = hostPort(host, port)
    try {
      // A name with several addresses would give several servers, of which a graceful end knows only one.
      const { address } = await lookup(host)
      this.server.listen(inheritedFd === undefined ? { host: address, port } : { fd: inheritedFd })
      await once(this.server, 'listening')
      if (inheritedFd !== undefined) this.#assertInherited({ host: address, port }, wanted)
    } catch (error) {
      if (error instanceof RelayError) throw error
      const where = inheritedFd === undefined ? wanted : `the inherited socket ${inheritedFd}`
      throw new RelayError('listen_failed', `cannot listen on ${where}: ${listenProblem(error, port)}`, {
        cause: error,
      })
    }
    return hostPort(host, (this.server.address() as AddressInfo).port)
  }

  /**
   * What is checked of a configuration (may this secret be reachable from outside?) and what commands do hangs on
   * `server.listen`. And clients of a unix socket have no address, by which refused requests are limited and logged.
   */
  #assertInherited({ host, port }: Address, wanted: string): void {
    const inherited = this.server.address() as Partial<AddressInfo> | string | null
    const { address, port: actual } = typeof inherited === 'object' ? (inherited ?? {}) : {}
    if (address === host && actual !== undefined && (port === 0 || port === actual)) return
    this.server.close()
    const found = address === undefined || actual === undefined ? 'none of TCP' : hostPort(address, actual)
    throw new RelayError(
      'config_invalid',
      `the inherited socket is ${found}, and server.listen ${wanted}: write the same there and in ListenStream=`,
    )
  }

  /** Takes no new connections, answers the requests in flight, and resolves when all connections are closed. */
  close(): Promise<void> {
    return this.#close()
  }
}

/** What only TLS itself can tell, such as that a key is too short for it. */
function prove(certificate: Certificate): void {
  try {
    createSecureContext(shown(certificate))
  } catch (error) {
    throw new RelayError('config_invalid', `server.tls cannot be used: ${errorMessage(error)}`)
  }
}

/** X509Certificate parses the first certificate in the text, which is the one that OpenSSL serves. */
function leafOf({ cert }: Certificate): CertificateFacts {
  return factsOf(new X509Certificate(cert.reveal()))
}

function shown({ cert, key, minVersion }: Certificate) {
  return { cert: cert.reveal(), key: key.reveal(), minVersion, ALPNProtocols: ['http/1.1'] }
}
