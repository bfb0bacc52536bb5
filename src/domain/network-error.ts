interface NetworkError {
  readonly name?: unknown
  readonly code?: unknown
  readonly syscall?: unknown
  readonly message?: unknown
  readonly hostname?: unknown
  readonly address?: unknown
  readonly port?: unknown
  readonly errors?: readonly NetworkError[]
  readonly cause?: NetworkError
}

/** A failure in words of our own, with nothing in them that must not be shown. */
export class ToldError extends Error {}

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
  // Several addresses were tried: the first one's failure stands for all.
  const { errors } = error as NetworkError
  const cause = Array.isArray(errors) && errors.length > 0 ? errors[0] : (error as NetworkError)
  const code = typeof cause.code === 'string' ? cause.code : 'unknown error'
  if (cause.syscall === 'getaddrinfo') return `dns: ${code} ${host}`
  if (cause.syscall === 'connect') return `connect: ${code} ${peerOf(cause) ?? host}`
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

function peerOf({ address, port }: NetworkError): string | undefined {
  if (typeof address !== 'string') return undefined
  // A unix socket has a path and no port.
  if (typeof port !== 'number') return address.startsWith('/') ? address : undefined
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
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
