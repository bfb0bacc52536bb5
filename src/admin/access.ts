import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Secret } from '../domain/secret.ts'

export interface AccessOptions {
  /** The host that is listened on; null: a unix socket. */
  readonly host: string | null
  /** Further names under which requests may come. */
  readonly hosts: readonly string[]
  /** Null: none is asked for. */
  readonly token: Secret | null
}

/** Why a request is not answered. */
export interface Denial {
  readonly status: 401 | 403
  readonly error: 'unauthorized' | 'host_not_allowed' | 'origin_not_allowed'
  readonly message: string
}

type Request = Pick<IncomingMessage, 'headers' | 'socket'>

/**
 * Who may ask. A page in an operator's browser can send requests to any address the operator can reach, loopback too. It is
 * known by its own name in `Host` (DNS rebinding), and by `Origin` where it sends something across.
 */
export function createAccess({ host, hosts, token }: AccessOptions): (request: Request) => Denial | null {
  const names = new Set(['localhost', '127.0.0.1', '[::1]', ...hosts.map((name) => name.toLowerCase())])
  if (host !== null) names.add(bracketed(host.toLowerCase()))
  const expected = token === null ? null : digest(`Bearer ${token.reveal()}`)

  return ({ headers, socket }) => {
    const asked = headers.host ?? ''
    // No browser can be made to use a unix socket. The address itself is no name that somebody could rebind.
    const known = host === null || names.has(nameOf(asked)) || nameOf(asked) === ownAddress(socket.localAddress)
    if (!known) return HOST_NOT_ALLOWED
    if (headers.origin !== undefined && !isOrigin(headers.origin, asked)) return ORIGIN_NOT_ALLOWED
    if (expected === null) return null
    return timingSafeEqual(digest(headers.authorization ?? ''), expected) ? null : UNAUTHORIZED
  }
}

const HOST_NOT_ALLOWED: Denial = {
  status: 403,
  error: 'host_not_allowed',
  message: 'the Host header is none that is known here: add the name to admin.hosts',
}

const ORIGIN_NOT_ALLOWED: Denial = {
  status: 403,
  error: 'origin_not_allowed',
  message: 'pages of other origins may not ask here',
}

const UNAUTHORIZED: Denial = {
  status: 401,
  error: 'unauthorized',
  message: 'show the token of the configuration (admin.token): Authorization: Bearer ...',
}

/** Of one length whatever was sent, so that comparing them takes always the same time. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

/** `[::1]:8081` and `localhost:8081` without their ports. */
function nameOf(host: string): string {
  return host.toLowerCase().replace(/:\d*$/, '')
}

/** The address that a client has connected to, as it would stand in `Host`. */
function ownAddress(address: string | undefined): string | undefined {
  return address === undefined ? undefined : bracketed(address.replace(/^::ffff:/, ''))
}

function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}

function isOrigin(origin: string, host: string): boolean {
  return URL.canParse(origin) && new URL(origin).host === host.toLowerCase()
}
