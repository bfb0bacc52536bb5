/**
 * Everything that can go wrong in a way somebody is told about. `HTTP_STATUS` maps a code to what a webhook sender
 * is answered, `exitStatus` to what the process ends with.
 */
export type ErrorCode =
  | RefusalCode
  | 'config_invalid'
  | 'usage'
  /** A target or source that is neither configured nor on record. */
  | 'unknown_name'
  | 'file_exists'
  | 'file_unwritable'
  | 'daemon_unreachable'
  | 'outbox_locked'
  | 'outbox_unusable'
  | 'outbox_failed'
  | 'listen_failed'
  | 'runtime_unsupported'
  /** The provider's REST API could not be reached, or did not do its part. Later may be better. */
  | 'provider_failed'
  /** The provider's REST API said no, and will again until something is changed. */
  | 'provider_refused'

/** Why a request to a source was not taken. These words appear in answers, in `rejection_log` and in the logs. */
export type RefusalCode =
  | 'signature_missing'
  | 'signature_malformed'
  | 'signature_mismatch'
  | 'timestamp_missing'
  | 'timestamp_malformed'
  | 'timestamp_duplicated'
  | 'timestamp_stale'
  | 'payload_invalid'
  | 'loop_detected'
  | 'request_invalid'
  | 'not_found'
  | 'method_not_allowed'
  | 'body_too_large'
  | 'encoding_unsupported'
  | 'headers_too_large'
  | 'rate_limited'
  | 'outbox_unavailable'
  | 'overloaded'

/** An expected failure with a code. The message is for people and never holds a secret. */
export class RelayError extends Error {
  readonly code: ErrorCode
  /** Whether the same call would fail again, however often it is repeated: what fails is what it asks for. */
  readonly isPermanent: boolean

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; isPermanent?: boolean } = {}) {
    super(message, options)
    this.name = 'RelayError'
    this.code = code
    this.isPermanent = options.isPermanent ?? false
  }
}

/**
 * The answer to a refused request. Never a 3xx: Ultravox takes that as fine and does not send the event again.
 * 4xx and 5xx are retried by the provider alike, so a refusal costs a genuine event time, not its life.
 */
export const HTTP_STATUS: Readonly<Record<RefusalCode, number>> = {
  signature_missing: 401,
  signature_malformed: 401,
  signature_mismatch: 401,
  timestamp_missing: 401,
  timestamp_malformed: 401,
  timestamp_duplicated: 401,
  timestamp_stale: 401,
  payload_invalid: 400,
  // A permanent failure for the relay that has sent it: 508 would be retried.
  loop_detected: 422,
  request_invalid: 400,
  not_found: 404,
  method_not_allowed: 405,
  body_too_large: 413,
  encoding_unsupported: 415,
  headers_too_large: 431,
  rate_limited: 429,
  outbox_unavailable: 503,
  overloaded: 503,
}

const EXIT_STATUS: Readonly<Partial<Record<ErrorCode, number>>> = {
  config_invalid: 2,
  usage: 2,
  unknown_name: 2,
  not_found: 3,
  daemon_unreachable: 4,
}

/** What the process exits with: 0 done, 1 failed, 2 usage or configuration, 3 not found, 4 a running relay was needed. */
export function exitStatus(code: ErrorCode): number {
  return EXIT_STATUS[code] ?? 1
}

/** The text of anything thrown; JSONata throws plain objects with a message. */
export function errorMessage(error: unknown): string {
  const message = (error as { message?: unknown } | null | undefined)?.message
  return typeof message === 'string' ? message : String(error)
}
