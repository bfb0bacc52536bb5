/** Reasons why TLS handshakes fail, as the label of a metric. */
export const HANDSHAKE_FAILURES = [
  'unknown_ca',
  'certificate_expired',
  'certificate_rejected',
  'no_shared_cipher',
  'protocol_version',
  'no_shared_protocol',
  'plain_http',
  'not_tls',
  'timeout',
  'disconnected',
  'other',
] as const

export type HandshakeFailureReason = (typeof HANDSHAKE_FAILURES)[number]

export interface HandshakeFailure {
  readonly reason: HandshakeFailureReason
  /** Node's code, such as `ERR_SSL_TLSV1_ALERT_UNKNOWN_CA`. */
  readonly problem: string
  readonly peer: string | null
  /** What to do; null where nothing can be done here. */
  readonly hint: string | null
}

/** Parts of the codes that Node makes of OpenSSL's reasons. The prefix of an alert differs between versions of OpenSSL. */
const REASONS: readonly [RegExp, HandshakeFailureReason][] = [
  [/ALERT_UNKNOWN_CA/, 'unknown_ca'],
  [/ALERT_CERTIFICATE_EXPIRED/, 'certificate_expired'],
  [
    /ALERT_(BAD_CERTIFICATE|CERTIFICATE_UNKNOWN|CERTIFICATE_REVOKED|UNSUPPORTED_CERTIFICATE|ACCESS_DENIED)/,
    'certificate_rejected',
  ],
  [
    /NO_SHARED_CIPHER|NO_SUITABLE_(KEY_SHARE|SIGNATURE_ALGORITHM|GROUPS)|NO_SHARED_(GROUP|SIGNATURE)/,
    'no_shared_cipher',
  ],
  [/UNSUPPORTED_PROTOCOL|ALERT_PROTOCOL_VERSION|VERSION_TOO_LOW|INAPPROPRIATE_FALLBACK/, 'protocol_version'],
  [/NO_APPLICATION_PROTOCOL/, 'no_shared_protocol'],
  [/HTTP_REQUEST|HTTPS_PROXY_REQUEST/, 'plain_http'],
  [/WRONG_VERSION_NUMBER|UNKNOWN_PROTOCOL|RECORD_(TOO_SMALL|LENGTH)|PACKET_LENGTH|BAD_RECORD_TYPE/, 'not_tls'],
  [/HANDSHAKE_TIMEOUT/, 'timeout'],
  [/^(ECONNRESET|EPIPE|ECONNABORTED|ETIMEDOUT)$|UNEXPECTED_EOF/, 'disconnected'],
]

const HINTS: Partial<Record<HandshakeFailureReason, string>> = {
  unknown_ca:
    "the client does not trust the certificate: serve the whole chain (certbot's fullchain.pem) of an authority that it knows",
  certificate_expired: 'the client finds the certificate expired: renew it, and check the clocks of both machines',
  certificate_rejected: 'the client rejects the certificate: check its names and its chain with ultravox-relay check',
  no_shared_cipher: 'the client has no cipher or curve in common with this listener and its kind of key',
  protocol_version: 'the client speaks only versions of TLS that server.tls.minVersion excludes',
  no_shared_protocol: 'the client does not offer http/1.1 by ALPN',
  plain_http: 'the client speaks HTTP to an HTTPS port: its URL has to begin with https://',
  not_tls: 'what came is not TLS; a load balancer that sends the PROXY protocol has to be set not to',
}

export function handshakeFailure(error: NodeJS.ErrnoException, peer: string | null): HandshakeFailure {
  const problem = error.code ?? 'unknown'
  const reason = REASONS.find(([code]) => code.test(problem))?.[1] ?? 'other'
  return { reason, problem, peer, hint: HINTS[reason] ?? null }
}
