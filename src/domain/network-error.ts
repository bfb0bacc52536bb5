import { hostPort } from './host-port.ts'

interface NetworkError {
  readonly name?: unknown
  readonly code?: unknown
  readonly syscall?: unknown
  readonly message?: unknown
  readonly hostname?: unknown
  readonly address?: unknown
  readonly port?: unknown
  /** For how long there was no answer, in milliseconds. */
  readonly waitedMs?: unknown
  readonly errors?: readonly NetworkError[]
  readonly cause?: NetworkError
}

/** A failure in words of our own, with nothing in them that must not be shown. */
export class ToldError extends Error {
  /** Whether a name could not be resolved for a reason that lies with the resolver. */
  readonly isResolverFailure: boolean

  constructor(message: string, { isResolverFailure = false } = {}) {
    super(message)
    this.isResolverFailure = isResolverFailure
  }
}

/** Characters of the text about several addresses; those that do not fit are counted. */
const ADDRESSES_LIMIT = 1_000

/** Whether a failure says nothing about the host, because the resolver failed or did not answer in time. */
export function isResolverFailure(error: unknown): boolean {
  if (error instanceof ToldError) return error.isResolverFailure
  const { syscall, code } = error as NetworkError
  return syscall === 'getaddrinfo' && !isNoSuchName(code)
}

/** Whether the code is the resolver's answer that a name does not exist or has no address, and not a failure of the resolver. */
export function isNoSuchName(code: unknown): boolean {
  return code === 'ENOTFOUND' || code === 'ENODATA'
}

/** The codes of OpenSSL's verification errors have no common prefix; these words are in all of them. */
const TLS_CODE = /TLS|SSL|CERT|CRL|SIGNATURE|UNABLE_TO_|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH|EPROTO/

const UNDICI_ERRORS: Readonly<Record<string, string>> = {
  UND_ERR_HEADERS_OVERFLOW: 'protocol: the headers of the answer are too large',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'protocol: the answer is not as long as it says',
}

/**
 * A short text for an exchange that broke: a lower-case word for the stage, then the system's code. Built from codes and
 * the host alone, never from an error's own message, which may hold the URL or a header.
 */
export function describeNetworkError(error: unknown, host: string): string {
  if (error instanceof ToldError) return error.message
  const cause = error as NetworkError
  if (Array.isArray(cause.errors) && cause.errors.length > 0) return `connect: ${listOfAddresses(cause.errors, host)}`
  const code = typeof cause.code === 'string' ? cause.code : 'unknown error'
  if (cause.syscall === 'getaddrinfo') return `dns: ${code} ${host}`
  if (cause.syscall === 'connect') return `connect: ${code} ${peerOf(cause) ?? host}${waited(cause)}`
  if (cause.syscall === 'handshake') return `tls: ${code} ${peerOf(cause) ?? host}${waited(cause)}`
  if (code === 'UND_ERR_SOCKET') {
    return typeof cause.cause?.code === 'string' && TLS_CODE.test(cause.cause.code)
      ? `tls: ${cause.cause.code} ${host}`
      : `network: ${socketStory(cause)} ${host}`
  }
  if (cause.name === 'HTTPParserError') return `protocol: the answer is not HTTP${parserReason(cause)}`
  // undici asserts what no server may answer, such as a status under 100.
  if (code === 'ERR_ASSERTION') return 'protocol: the answer is not HTTP'
  if (code.startsWith('HPE_')) return `protocol: ${code}, the answer is not HTTP`
  const known = UNDICI_ERRORS[code]
  if (known !== undefined) return known
  if (code.startsWith('UND_ERR_')) return `request: ${code}`
  return `${TLS_CODE.test(code) ? 'tls' : 'network'}: ${code} ${host}`
}

/** `10.0.0.1:443 ECONNREFUSED, [::1]:443 no answer within 10s`, as far as it fits. */
function listOfAddresses(errors: readonly NetworkError[], host: string): string {
  const parts = errors.map((error) => reasonOf(error, peerOf(error) ?? host))
  let length = 0
  const fitting = parts.filter((part, n) => {
    length += part.length + 2
    return n === 0 || length <= ADDRESSES_LIMIT
  })
  const left = parts.length - fitting.length
  return `${fitting.join(', ')}${left > 0 ? ` and ${left} more` : ''}`
}

function reasonOf(error: NetworkError, peer: string): string {
  const { syscall, code, waitedMs } = error
  if (typeof waitedMs === 'number')
    return `${peer} no ${syscall === 'connect' ? '' : 'TLS '}answer within ${seconds(waitedMs)}`
  return syscall === 'connect' && typeof code === 'string' ? `${peer} ${code}` : describeNetworkError(error, peer)
}

function waited({ waitedMs }: NetworkError): string {
  return typeof waitedMs === 'number' ? `, no answer within ${seconds(waitedMs)}` : ''
}

/** Milliseconds as seconds, such as `0.25s` or `10s`. */
function seconds(ms: number): string {
  return `${Math.round(ms / 10) / 100}s`
}

function peerOf({ address, port }: NetworkError): string | undefined {
  if (typeof address !== 'string') return undefined
  // A unix socket has a path and no port.
  if (typeof port !== 'number') return address.startsWith('/') ? address : undefined
  return hostPort(address, port)
}

/** What the parser of undici stumbled over, which only stands in its message: one of a few dozen fixed texts. */
function parserReason({ message }: NetworkError): string {
  const reason = typeof message === 'string' ? /\(([A-Za-z][A-Za-z /,.'-]{0,60})\)$/.exec(message)?.[1] : undefined
  return reason === undefined ? '' : `: ${reason}`
}

/** undici puts four situations under one code; these texts are its own and hold nothing else. */
function socketStory({ message }: NetworkError): string {
  return message === 'other side closed' || message === 'bad response' || message === 'bad upgrade'
    ? message
    : 'connection lost'
}
