import type { RefusalCode } from '../domain/errors.ts'

/** What usually causes a refusal, and what to look at: one sentence a reason. */
export const REJECTION_CAUSES: Readonly<Record<RefusalCode, string>> = {
  signature_missing:
    'Something other than Ultravox called this path, or a proxy in between drops the signature header.',
  signature_malformed:
    'The signature is no lower-case hex SHA-256: not Ultravox sent it, or a proxy in between alters headers.',
  signature_mismatch:
    'It was signed with a secret that this source does not have (callbacks of single calls and of batches have secrets of their own), or a proxy in between alters the body.',
  timestamp_missing:
    'Something other than Ultravox called this path, or a proxy in between drops the timestamp header.',
  timestamp_malformed: 'The timestamp is no ISO 8601 time: not Ultravox sent it, or a proxy in between alters headers.',
  timestamp_duplicated: 'The timestamp header came more than once: a proxy in between adds or repeats headers.',
  timestamp_stale:
    'It is validly signed but further from now than the tolerance of its source: the clock of this machine was wrong, the request was held up on its way, or somebody has sent an old one again.',
  payload_invalid:
    'It is validly signed but no JSON object with a string "event": something that is no webhook is sent with the secret of this source.',
  loop_detected:
    'This relay has sent it itself, or it has passed through eight relays: a target leads back to the path of a source.',
  request_invalid: 'It was no complete, well-formed HTTP request: its client sent it wrongly or gave up halfway.',
  not_found: 'Nothing listens on its path: compare the path of the source with the URL that the webhook is sent to.',
  method_not_allowed: 'It was no POST: a browser, a health check or a scanner called the path of a source.',
  body_too_large: 'Its body is over server.bodyLimit: raise that if calls carry so much.',
  encoding_unsupported:
    'Its body is compressed, and the signature is of the uncompressed bytes: a proxy in between compresses requests, which has to be switched off there.',
  headers_too_large:
    'Its request line and headers are over server.maxHeaderSize, or there are more than 1000 headers: a proxy in between adds them, such as certificates of clients.',
  rate_limited:
    'Its address had too many requests refused; behind a proxy that server.trustProxy does not name, all senders share one address.',
  outbox_unavailable: 'It could not be stored at that moment: look at the disk of the outbox and at the log.',
  overloaded: 'More was arriving than could be taken at that moment.',
}

export const REJECTION_REASONS = Object.keys(REJECTION_CAUSES) as RefusalCode[]
